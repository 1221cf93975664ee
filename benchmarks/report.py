"""Markdown report of a run: throughput and latency of each server, and the targets that are reached.

    python -m benchmarks.report FILE [--into README.md]

`--into` writes the table of the servers between the two markers in a document.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.targets import TARGETS, Results, medians

MARKERS = "<!-- steps: benchmarks/report.py writes this table -->\n", "<!-- steps end -->\n"

#: The instructions of the processor that make each dtype faster than float32.
INSTRUCTIONS = {"bfloat16": "AVX512-BF16 and AMX", "int8": "VNNI"}


def render(results: Results) -> str:
    """Return all tables."""
    return "\n".join([steps(results), *_tasks(results), *_targets(results), ""])


def steps(results: Results) -> str:
    """Return the table of the servers, with a description of the machine."""
    return "\n".join([*_machine(results), "", *_steps(results), ""])


def insert(text: str, results: Results) -> str:
    """Return a document with the table of the servers between its markers, in place of the previous text."""
    before, begin, rest = text.partition(MARKERS[0])
    _, end, after = rest.partition(MARKERS[1])
    if not begin or not end:
        raise ValueError(f"found no place for the table, expected the lines {MARKERS[0]!r} and {MARKERS[1]!r}")
    return f"{before}{begin}\n{steps(results)}\n{end}{after}"


def _machine(results: Results) -> Iterator[str]:
    machine, plan = results["machine"], results["plan"]
    yield f"{machine['cores']} cores of {machine['processor']}, Python {machine['python']}, torch {machine['torch']}."
    rounds = f"{plan['rounds']} round{'s' if plan['rounds'] > 1 else ''}"
    yield f"Medians of {rounds}, {plan['seconds']:g} s or more for each load, the servers in turns."


def _steps(results: Results) -> Iterator[str]:
    rows = {(row["server"], row["manner"], row["connections"]): row for row in medians(results["rows"])}
    measured = {server for server, _, _ in rows}
    loads = list(dict.fromkeys((connection_use, connections) for _, connection_use, connections in rows))
    yield "Session steps/s, p50 / p99 in ms; `moving`: each step of a session over another connection.\n"
    yield "| server |" + "".join(f" {_load(*load)} |" for load in loads) + " errors |"
    yield "|---|" + "---|" * (len(loads) + 1)
    for name, title in results["servers"].items():
        if name in results["failures"] and name not in measured:
            yield f"| {title} | not measured: {_one_line(results['failures'][name])} |" + " |" * len(loads)
            continue
        yield _server_line(title, [rows.get((name, *load)) for load in loads])
    yield from _partial_failures(results, measured)


def _partial_failures(results: Results, measured: set[str]) -> Iterator[str]:
    for name, reason in results["failures"].items():
        if name in measured:
            rounds = results.get("failed_rounds", {}).get(name)
            failed = (
                f"failed in {rounds} of {results['plan']['rounds']} rounds" if rounds else "failed in a later round"
            )
            yield f"\n{results['servers'][name]} {failed}: {_one_line(reason)}"


def _server_line(title: str, rows: list[dict[str, Any] | None]) -> str:
    errors = sum(row["errors"] for row in rows if row is not None)
    return f"| {title} |" + "".join(f" {_cell(row)} |" for row in rows) + f" {errors:,} |"


def _load(connection_use: str, connections: int) -> str:
    return f"{connections} connection{'s' if connections > 1 else ''}{', moving' if connection_use == 'move' else ''}"


def _cell(row: dict[str, Any] | None) -> str:
    return "" if row is None else f"{row['rate']:,.0f}, {row['p50']:.1f} / {row['p99']:.1f}"


def _one_line(message: str) -> str:
    """Return the end of a message without the characters that would break a table."""
    plain = "".join(letter if letter.isascii() and letter != "|" else " " for letter in message)
    return " ".join(plain.split())[-200:]


def _tasks(results: Results) -> Iterator[str]:
    """Yield the table of the tasks, if they were measured."""
    tasks = results.get("parts", {}).get("task_steps", {})
    if not tasks:
        return
    yield "Steps of 64 sessions of each task, one worker.\n"
    if "failure" in tasks:
        yield f"not measured: {_one_line(tasks['failure'])}\n"
        return
    yield "| model | steps/s | p50 / p99 in ms |\n|---|---|---|"
    for name, row in tasks.items():
        yield f"| {name} | {row['steps_per_second']:,.0f} | {row['p50_ms']:.1f} / {row['p99_ms']:.1f} |"
    yield ""


def _targets(results: Results) -> Iterator[str]:
    yield "Figures to reach: ratios of medians, with two workers in float32 unless the figure says otherwise.\n"
    yield "| figure | reach | aim | measured | |\n|---|---|---|---|---|"
    for target in TARGETS:
        measured = target.measured(results)
        sign = "at most " if target.less_is_better else ""
        value = "not measured" if measured is None else f"{measured:.3g}"
        verdict = "" if measured is None else "reached" if target.reached(measured) else "missed"
        yield f"| {target.title} | {sign}{target.threshold:g} | {target.goal:g} | {value} | {verdict} |"
    for dtype, supported in results["machine"].get("instructions", {}).items():
        if not supported:
            yield f"\nThis processor lacks {INSTRUCTIONS[dtype]}: {dtype} gains little or nothing over float32."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--into", type=Path, metavar="DOCUMENT")
    arguments = parser.parse_args()
    results = json.loads(arguments.file.read_text("utf-8"))
    print(render(results))
    if arguments.into is not None:
        arguments.into.write_text(insert(arguments.into.read_text("utf-8"), results), "utf-8")


if __name__ == "__main__":
    main()
