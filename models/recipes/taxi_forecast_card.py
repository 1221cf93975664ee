"""The model card of the taxi model and its plot, with figures computed from the files of its folder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from torch import Tensor

from models.recipes import forecast_scores as scores
from models.recipes.forecast_export import Scaling, load
from models.recipes.forecast_network import Forecaster
from models.recipes.forecast_series import Series, forecasts, forecasts_after
from models.recipes.taxi_forecast_data import DAY, WEEK, Taxi

Figures = dict[str, Any]

CARD = Path(__file__).with_name("taxi_forecast_card.md")
STEPS = (1, 2, 12, 24, 48, 96)
HISTORIES = {"six hours": DAY // 4, "one day": DAY, "one week": WEEK}
BASELINES = {"repeat of the last day": DAY, "repeat of the last week": WEEK}
#: The first days of the plots: four ordinary days, and Christmas.
PLOTTED_DAYS = ("2015-01-12T00:00", "2014-12-24T00:00")


def load_folder(taxi: Taxi, out: Path) -> tuple[Forecaster, Scaling, Series]:
    """Return the network, its scaling, and the scaled series."""
    model, scaling = load(out)
    return model, scaling, Series(model.architecture, scaling.scaled(taxi.values)[None], taxi.stamps)


def evaluate_folder(taxi: Taxi, out: Path) -> Figures:
    """Compute and print the figures of the exported model and of its baselines, at every origin of the test part."""
    model, scaling, series = load_folder(taxi, out)
    a = model.architecture
    rows = scores.test_origins(taxi.split, a.horizon)
    actual, unit = scores.actual_targets(series, rows), float(scaling.scale[0])
    quantiles = forecasts(model, series, int(rows[0]), int(rows[-1]) + 1)
    normal_rows = scores.outside_windows(rows, a.horizon, taxi.windows)
    share = round(1 - float(normal_rows.float().mean()), 3)
    print(f"test part: {len(rows)} origins, {share:.1%} of the forecast rows in anomaly windows")
    model_row = _row("model", _median(model, quantiles), actual, unit, normal_rows)
    baselines = {
        name: _row(name, scores.seasonal_naive(series, rows, season), actual, unit, normal_rows)
        for name, season in BASELINES.items()
    }
    best = min(baselines, key=lambda name: baselines[name]["test_mae"])
    after: dict[str, int] = {}
    for name, length in HISTORIES.items():
        short = forecasts_after(model, series, rows, length)
        after[name] = _row(f"model, {name} read", _median(model, short), actual, unit, normal_rows)["test_mae"]
    correlation = json.loads((out / "config.json").read_text())["path_correlation"]
    print(f"path_correlation, of the validation part: {correlation}")
    return {
        **model_row,
        "path_correlation": correlation,
        **_coverage(model, quantiles, actual, normal_rows),
        "test_origins": len(rows),
        "anomalous_share": share,
        "mae_after": after,
        "baseline": {"name": best, **baselines[best]},
        "baselines": baselines,
    }


def _median(model: Forecaster, quantiles: Tensor) -> Tensor:
    return quantiles[..., model.architecture.quantiles.index(0.5)]


def _row(name: str, forecast: Tensor, actual: Tensor, unit: float, normal_rows: Tensor) -> Figures:
    """Print and return mean absolute errors in passengers: over all rows, outside of anomalies, and at some steps."""
    error = (forecast - actual).abs()[..., 0] * unit
    at = {step: round(float(error[:, step - 1].mean())) for step in STEPS}
    overall, normal = round(float(error.mean())), round(float(error[normal_rows].mean()))
    print(f"{name:<26} MAE {overall:5}   outside of anomalies {normal:5}   at steps {at}", flush=True)
    return {"test_mae": overall, "test_mae_outside_anomalies": normal, "test_mae_at": at}


def _coverage(model: Forecaster, quantiles: Tensor, actual: Tensor, normal_rows: Tensor) -> Figures:
    figures = {}
    for low, high in ((0.1, 0.9), (0.25, 0.75)):
        inside = scores.coverage(quantiles, model.architecture.quantiles, low, high, actual)[..., 0].float()
        name = f"coverage_{round(100 * (high - low))}"
        figures[name] = round(float(inside.mean()), 3)
        figures[f"{name}_outside_anomalies"] = round(float(inside[normal_rows].mean()), 3)
    print(figures)
    return figures


def plot(taxi: Taxi, out: Path) -> None:
    """Draw forecasts.png: two days from each of some midnights, the 80 % interval, and the actual values."""
    import matplotlib as mpl  # noqa: PLC0415 - evaluation needs no matplotlib

    mpl.use("Agg")
    from matplotlib import dates  # noqa: PLC0415
    from matplotlib import pyplot as plt  # noqa: PLC0415

    model, scaling, series = load_folder(taxi, out)
    horizon, levels = model.architecture.horizon, list(model.architecture.quantiles)
    figure, axes = plt.subplots(len(PLOTTED_DAYS), 1, figsize=(9, 5.5), sharey=True, layout="constrained")
    for axis, day in zip(axes, PLOTTED_DAYS, strict=True):
        first = int(np.flatnonzero(taxi.stamps == np.datetime64(day))[0])
        for start in (first, first + horizon):
            quantiles = forecasts(model, series, start - 1, start)[0, :, 0] * scaling.scale[0] + scaling.mean[0]
            low, middle, high = (quantiles[:, levels.index(level)] / 1000 for level in (0.1, 0.5, 0.9))
            when = taxi.stamps[start : start + horizon]
            axis.fill_between(when, low, high, color="tab:blue", alpha=0.25, lw=0)
            axis.plot(when, middle, color="tab:blue", lw=1.2)
            axis.axvline(when[0], color="grey", lw=0.6, ls=":")
        shown = slice(first, first + 2 * horizon)
        axis.plot(taxi.stamps[shown], taxi.values[shown, 0] / 1000, color="black", lw=0.9)
        axis.xaxis.set_major_formatter(dates.ConciseDateFormatter(axis.xaxis.get_major_locator()))  # type: ignore[no-untyped-call]
        axis.set_ylabel("thousand passengers")
    figure.savefig(out / "forecasts.png", dpi=72, metadata={"Software": None})
    plt.close(figure)


def write_card(metrics: Figures, out: Path) -> None:
    """Write the model card: the figures as front matter, the text from `taxi_forecast_card.md`."""
    description = "Taxi passengers of New York in the next two days, half-hourly, with quantiles: an LSTM."
    named = {name: value for name, value in metrics.items() if name not in ("baselines", "mae_after")}
    front = yaml.safe_dump({"license": "mit", "description": description, "metrics": named}, sort_keys=False)
    model, _ = load(out)
    parts = {
        "size": model.architecture.hidden_size,
        "horizon": model.architecture.horizon,
        "path_correlation": metrics["path_correlation"],
        "test_origins": metrics["test_origins"],
        "table": _table(metrics),
        "intervals": _intervals(metrics),
        "plot": "![Forecasts from midnight, with the 80 % interval, and the actual values](forecasts.png)",
        "share": f"{metrics['anomalous_share']:.0%}".replace("%", " %"),
        "after": ", ".join(f"{mae} after {name}" for name, mae in metrics["mae_after"].items()),
    }
    text = CARD.read_text()
    for name, value in parts.items():
        text = text.replace(f"{{{name}}}", str(value))
    (out / "README.md").write_text(f"---\n{front}---\n{text}")


def _table(metrics: Figures) -> str:
    """Return the table of errors by steps ahead, over all steps, and outside of anomalies, one line per forecaster."""
    header = ["", *map(str, STEPS), "all", "all, outside of anomalies"]
    lines = [header, ["---"] * len(header)]
    for name, row in {"this model": metrics, **metrics["baselines"]}.items():
        lines.append([name, *map(str, row["test_mae_at"].values()), f"**{row['test_mae']}**"])
        lines[-1].append(str(row["test_mae_outside_anomalies"]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _intervals(metrics: Figures) -> str:
    """Return the table of interval coverage."""
    lines = ["| interval | covers | outside of anomalies |", "|---|---|---|"]
    for share in (80, 50):
        overall, normal_rows = metrics[f"coverage_{share}"], metrics[f"coverage_{share}_outside_anomalies"]
        lines.append(f"| {share} % | {overall:.1%} | {normal_rows:.1%} |".replace("%", " %").replace("  %", " %"))
    return "\n".join(lines)
