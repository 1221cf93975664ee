"""A forecaster as a user would train it: torch.nn modules, and preprocessing written out row after row."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.folders import ACTIVATIONS, Trainer, make_trainer

WIDTHS = {"hour_of_day": 2, "day_of_week": 7, "day_of_year": 2}
COUNTS = {"point": 1, "gaussian": 2, "student_t": 3}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
Row = list[float | None]


def calendar(names: list[str], time: int | None) -> list[float]:
    """Return the calendar features of a time in microseconds."""
    if not names or time is None:
        return []
    moment = EPOCH + timedelta(microseconds=time)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    day = (moment - midnight) / timedelta(days=1)
    year = (moment - moment.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0)) / timedelta(days=365.25)
    found: list[float] = []
    for name in names:
        if name == "day_of_week":
            found += [float(moment.weekday() == number) for number in range(7)]
        else:
            part = day if name == "hour_of_day" else year
            found += [math.sin(2 * math.pi * part), math.cos(2 * math.pi * part)]
    return found


def step_of(frequency: str | None) -> int | None:
    """Microseconds from row to row."""
    if frequency is None:
        return None
    unit = frequency.lstrip("0123456789")
    return int(frequency.removesuffix(unit)) * SECONDS[unit] * 1_000_000


class ForecastTrainer(nn.Module):
    """Reference forecaster in plain torch.nn."""

    def __init__(self, config: dict[str, Any], preprocessor: dict[str, Any], seed: int) -> None:
        super().__init__()
        self.config, self.pre = config, preprocessor
        self.calendar = config.get("calendar", [])
        self.known = [config["features"].index(name) for name in config.get("known", [])]
        self.static = [config["features"].index(name) for name in config.get("static", [])]
        self.target = [config["features"].index(name) for name in config["target"]]
        self.network: Trainer = make_trainer({**config, "embedding_size": width_of(config), "vocab_size": 1}, seed)
        direct, horizon = config.get("decoding", "direct") == "direct", config["horizon"]
        self.steps = horizon if direct else 1
        numbers = len(self.target) * COUNTS.get(config["distribution"], len(config.get("quantiles", [])))
        reads, context, local = self.network.output.in_features, config.get("context"), config.get("local")
        self.context = nn.Linear(reads, horizon * context["size"]) if context else None
        reads = context["size"] if context else reads
        beside = len(self.known) + sum(WIDTHS[name] for name in self.calendar)
        beside += len(self.target) if config.get("season") else 0
        self.local = nn.Linear(reads + beside, local["size"]) if local else None
        reads = local["size"] if local else reads
        self.output = nn.Linear(reads, numbers * (horizon if direct and not context else 1))
        generator = torch.Generator().manual_seed(seed)
        for layer in (self.context, self.local, self.output):
            for parameter in layer.parameters() if layer else ():
                nn.init.normal_(parameter, std=0.5, generator=generator)

    def tensors(self) -> dict[str, Tensor]:
        """The weights under the names of a model folder."""
        found = {
            name: one for name, one in self.network.tensors().items() if not name.startswith(("embedding", "output"))
        }
        for name in ("context", "local", "output"):
            layer = getattr(self, name)
            found |= {f"{name}.{kind}": one.detach() for kind, one in layer.named_parameters()} if layer else {}
        return found

    def scaled(self, value: float, column: int) -> float:
        clamp = self.pre.get("clamp") or math.inf
        return max(-clamp, min(clamp, (value - self.pre["mean"][column]) / self.pre["scale"][column]))

    @torch.no_grad()
    def forward(
        self, rows: list[Row], times: list[int] | None, future: list[list[float]] | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the parameters after the last row, (H, T, P), and the recurrent state."""
        width, last, targets, inputs = len(self.pre["mean"]), [0.0] * len(self.pre["mean"]), [], []
        for at, row in enumerate(rows):
            missing = [value is None for value in row]
            for column, value in enumerate(row):
                if value is not None:
                    last[column] = self.scaled(value, column)
                elif self.pre.get("missing", "last") == "mean" and column not in self.static:
                    last[column] = 0.0
            indicators = [float(missing[column]) for column in range(width) if column not in self.static]
            if not self.config.get("missing_indicator"):
                indicators = []
            inputs.append([*last, *indicators, *calendar(self.calendar, None if times is None else times[at])])
            targets.append([last[column] for column in self.target])
        window = self.config.get("window") or len(inputs)
        features, state = self.network.features(torch.tensor([inputs[-window:]]))
        return self._ahead(features[0, -1], targets, times, future), state

    def _ahead(
        self, features: Tensor, targets: list[list[float]], times: list[int] | None, future: list[list[float]] | None
    ) -> Tensor:
        season, found = self.config.get("season", 0), []
        history = [[0.0] * len(self.target)] * season + targets
        for step in range(self.steps):
            seasonal = history[len(history) - season + step % season] if season else []
            given = [] if future is None else future[step]
            beside = [self.scaled(value, column) for value, column in zip(given, self.known, strict=True)]
            time = None if times is None else times[-1] + (step + 1) * (step_of(self.config.get("frequency")) or 0)
            reads = self._context(features, step)
            if self.local is not None:
                both = torch.cat([reads, torch.tensor([*beside, *calendar(self.calendar, time), *seasonal])])
                reads = ACTIVATIONS[self.config["local"].get("activation", "none")](self.local(both))
            raw = self.output(reads)
            if self.context is None and self.config.get("decoding", "direct") == "direct":
                raw = raw.view(self.steps, -1)[step]
            base = torch.zeros(len(self.target))
            if self.config.get("output_residual"):
                base = torch.tensor(seasonal if season else targets[-1])
            found.append(self._constrained(raw.view(len(self.target), -1), base[:, None]))
        return torch.stack(found)

    def _context(self, features: Tensor, step: int) -> Tensor:
        if self.context is None:
            return features
        spread = ACTIVATIONS[self.config["context"].get("activation", "none")](self.context(features))
        return spread.view(self.config["horizon"], -1)[step]

    def _constrained(self, raw: Tensor, base: Tensor) -> Tensor:
        if self.config["distribution"] == "quantiles":
            return (raw + base).sort(-1).values
        parts = [raw[:, :1] + base, *([F.softplus(raw[:, 1:2]) + 1e-4] if raw.shape[1] > 1 else [])]
        return torch.cat([*parts, *([F.softplus(raw[:, 2:]) + 2 + 1e-3] if raw.shape[1] > 2 else [])], -1)


def width_of(config: dict[str, Any]) -> int:
    """How many numbers the network reads per row."""
    features, static = len(config["features"]), len(config.get("static", []))
    indicators = features - static if config.get("missing_indicator") else 0
    return features + indicators + sum(WIDTHS[name] for name in config.get("calendar", []))
