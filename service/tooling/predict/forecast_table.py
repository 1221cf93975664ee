"""A forecast for people to read: a line for each step ahead."""

from collections.abc import Sequence
from typing import Any

from service.domain.rfc3339 import format_rfc3339


def forecast_table(output: dict[str, Any], times: Sequence[int] | None) -> str:
    """Return mean and quantiles of each step, below a header; `times` are those of the steps, if they are known."""
    names = output["features"]
    parts = [("mean", output["mean"]), *output["quantiles"].items()]
    header = [label if len(names) == 1 else f"{name} {label}" for name in names for label, _ in parts]
    lines = [["step" if times is None else "time", *header]]
    for at in range(output["horizon"]):
        numbers = [_row(path[at])[column] for column in range(len(names)) for _, path in parts]
        lines.append([str(at + 1) if times is None else format_rfc3339(times[at]), *map(_shown, numbers)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def _row(given: Any) -> list[float | None]:  # noqa: ANN401 - a number, or a row of the features
    return given if isinstance(given, list) else [given]


def _shown(number: float | None) -> str:
    return "-" if number is None else f"{number:.6g}"
