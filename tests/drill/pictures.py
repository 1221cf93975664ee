"""Pictures of the dashboard: each row as Prometheus answered to the queries of its panels."""

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.drill.panels import Line, Shown, panels, series
from tests.drill.stack import Prometheus

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Rows that are drawn, and the files that they become.
DRAWN = {
    "Objectives and alerts": "monitoring-alerts.png",
    "Traffic": "monitoring-traffic.png",
    "Latency": "monitoring-latency.png",
    "Saturation": "monitoring-saturation.png",
    "Sessions": "monitoring-sessions.png",
    "The store": "monitoring-store.png",
    "Models": "monitoring-models.png",
}
COLUMNS = 3
MAX_LEGEND = 8
COLOURS = 48
#: A line is broken where there are no points for longer.
MAX_GAP_SECONDS = 10.0
#: What the values of a panel are, by its unit in Grafana, and how they are written.
SCALES = {
    "percentunit": (100.0, "%"),
    "bytes": (2.0**-20, "MiB"),
    "s": (1000.0, "ms"),
    "reqps": (1.0, "1/s"),
    "cps": (1.0, "1/s"),
}


def draw(prometheus: Prometheus, folder: Path, start: float, end: float) -> list[Path]:
    """Draw the rows into files of a folder."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - pictures are drawn on request only

    written = []
    for row, name in DRAWN.items():
        shown = [panel for panel in panels() if panel.row == row]
        height = -(-len(shown) // COLUMNS)
        figure = Figure(figsize=(13, 2.9 * height), layout="constrained")
        axes = list(figure.subplots(height, COLUMNS, squeeze=False).flat)
        for axis in axes[len(shown) :]:
            axis.set_axis_off()
        for axis, panel in zip(axes, shown, strict=False):
            draw_panel(
                axis, panel, [asked for query in panel.queries for asked in series(prometheus, *query, start, end)]
            )
            axis.set_xlim(0, (end - start) / 60)
        written.append(save(figure, folder / name))
    return written


def save(figure: "Figure", path: Path) -> Path:
    """Write a picture of few colours, which takes a third of the bytes."""
    from PIL import Image  # noqa: PLC0415

    whole = io.BytesIO()
    figure.savefig(whole, dpi=75)
    Image.open(whole).convert("RGB").quantize(COLOURS).save(path, optimize=True)
    return path


def draw_panel(axis: Any, panel: Shown, found: list[Line]) -> None:
    """Draw a panel over the minutes since the start."""
    scale, unit = SCALES.get(panel.unit, (1.0, ""))
    axis.set_title(f"{panel.title}, {unit}" if unit else panel.title, fontsize=9)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.3)
    if panel.kind == "state-timeline":
        draw_states(axis, found)
        return
    for number, line in enumerate(found):
        label = line.name if number < MAX_LEGEND else None
        axis.plot(*curve(line, scale), linewidth=1, label=label)
    axis.set_ylim(bottom=0)
    if found:
        axis.legend(fontsize=6, loc="upper left")


def draw_states(axis: Any, found: list[Line]) -> None:
    """Draw a bar for each series while it has a value."""
    for number, line in enumerate(found):
        minutes, values = curve(line, 1.0)
        axis.plot(
            minutes, [value * 0 + number for value in values], linewidth=3, solid_capstyle="butt", color="tab:red"
        )
    axis.set_yticks(range(len(found)), [line.name for line in found], fontsize=5)


def curve(line: Line, scale: float) -> tuple[list[float], list[float]]:
    """Return the minutes and values of a series, with a gap where it had none."""
    minutes: list[float] = []
    values: list[float] = []
    for before, (at, value) in zip((None, *line.points), line.points, strict=False):
        if before is not None and at - before[0] > MAX_GAP_SECONDS:
            minutes.append(at / 60)
            values.append(math.nan)
        minutes.append(at / 60)
        values.append(value * scale)
    return minutes, values
