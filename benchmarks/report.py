"""Markdown of a run's results: who is how fast, and which figures are reached.

python -m benchmarks.report FILE
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.figures import FIGURES, Results, medians, ours


def render(results: Results) -> str:
    """Return both tables."""
    return "\n".join([*_machine(results), "", *_steps(results), "", *_figures(results), ""])


def _machine(results: Results) -> Iterator[str]:
    machine, plan = results["machine"], results["plan"]
    yield f"{machine['cores']} cores of {machine['processor']}, Python {machine['python']}, torch {machine['torch']}."
    yield f"Medians of {plan['rounds']} rounds of {plan['seconds']:g} s each, taken in turns."


def _steps(results: Results) -> Iterator[str]:
    found = {(row["server"], row["manner"], row["connections"]): row for row in medians(results["rows"])}
    loads = list(dict.fromkeys((manner, connections) for _, manner, connections in found))
    yield "Session steps/s, p50 / p99 in ms; `moving`: each step of a session over another connection.\n"
    yield "| server |" + "".join(f" {_load(*load)} |" for load in loads) + " errors |"
    yield "|---|" + "---|" * (len(loads) + 1)
    for name, title in results["servers"].items():
        if name in results["failures"] and not any(server == name for server, _, _ in found):
            yield f"| {title} | not measured: {_one_line(results['failures'][name])} |" + " |" * len(loads)
            continue
        rows = [found.get((name, *load)) for load in loads]
        errors = sum(row["errors"] for row in rows if row is not None)
        yield f"| {title} |" + "".join(f" {_cell(row)} |" for row in rows) + f" {errors:,} |"


def _load(manner: str, connections: int) -> str:
    return f"{connections} connection{'s' if connections > 1 else ''}{', moving' if manner == 'move' else ''}"


def _cell(row: dict[str, Any] | None) -> str:
    return "" if row is None else f"{row['rate']:,.0f}, {row['p50']:.1f} / {row['p99']:.1f}"


def _one_line(message: str) -> str:
    return " ".join(message.split()).replace("|", "/")[-200:]


def _figures(results: Results) -> Iterator[str]:
    own = ours(results)
    yield "Figures to reach" + (f"; ours is {results['servers'][own]}." if own else ".") + "\n"
    yield "| figure | reach | aim | measured | |\n|---|---|---|---|---|"
    for figure in FIGURES:
        measured = figure.of(results)
        sign = "at most " if figure.less_is_better else ""
        told = "not measured" if measured is None else f"{measured:.3g}"
        verdict = "" if measured is None else "reached" if figure.reached(measured) else "missed"
        yield f"| {figure.what} | {sign}{figure.reach:g} | {figure.aim:g} | {told} | {verdict} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    print(render(json.loads(parser.parse_args().file.read_text("utf-8"))))


if __name__ == "__main__":
    main()
