"""A forecast as a text table, with a line for each step ahead."""

from collections.abc import Iterable, Sequence
from typing import Any

from service.domain.rfc3339 import format_rfc3339


def forecast_table(output: dict[str, Any], times: Sequence[int] | None) -> str:
    """Return mean and quantiles of each step below a header.

    `times` are those of the steps in microseconds since 1970, or None if they are not known.
    """
    names = output["features"]
    paths = {"mean": output["mean"], **output["quantiles"]}
    lines = [["step" if times is None else "time", *_labels(names, paths)]]
    for step in range(output["horizon"]):
        rows = [_row(path[step]) for path in paths.values()]
        label = str(step + 1) if times is None else format_rfc3339(times[step])
        lines.append([label, *(_shown(row[column]) for column in range(len(names)) for row in rows)])
    return _aligned(lines)


def _labels(names: Sequence[str], paths: Iterable[str]) -> list[str]:
    """Return the header of each column; a single feature needs no name."""
    return [path if len(names) == 1 else f"{name} {path}" for name in names for path in paths]


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.rjust, line, widths)) for line in lines)


def _row(value: Any) -> list[float | None]:  # noqa: ANN401 - a number, or a row of the features
    return value if isinstance(value, list) else [value]


def _shown(number: float | None) -> str:
    return "-" if number is None else f"{number:.6g}"
