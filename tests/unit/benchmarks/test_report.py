"""Tests of the report of a run: the speed of each server, and the targets that are reached."""

import json
from typing import Any

import pytest

from benchmarks.report import MARKERS, insert, render, steps
from tests.checks.places import ROOT


def row(server: str, number: int, rate: float, *, connections: int = 64, p50: float = 10.0, errors: int = 0) -> Any:
    measurements = {"rate": rate, "p50": p50, "p99": 2 * p50, "errors": errors}
    return {"server": server, "round": number, "manner": "stay", "connections": connections, **measurements}


ROWS = [
    *(row("ours-1", number, rate, errors=1) for number, rate in enumerate((3000, 9000, 4000))),
    row("ours-2", 1, 5000.0, p50=6.0),
    row("ours-2", 1, 800.0, connections=1, p50=1.0),
    row("triton", 1, 2000.0, p50=20.0),
    row("triton", 1, 100.0, connections=1, p50=10.0),
]


@pytest.fixture
def results() -> dict[str, Any]:
    return {
        "machine": {"processor": "a processor", "cores": 2, "python": "3.11", "torch": "2.13"},
        "plan": {"rounds": 3, "seconds": 5},
        "servers": {"ours-1": "One", "ours-2": "Two", "triton": "Triton", "litserve": "LitServe"},
        "failures": {"litserve": "No module\nnamed 'litserve' │| it said"},
        "rows": ROWS,
        "parts": {"many_sessions": {"bytes_beyond_state": 500}},
    }


def line(text: str, start: str) -> list[str]:
    [found] = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_a_row_holds_the_medians_over_the_rounds_and_the_sum_of_the_errors(results: dict[str, Any]) -> None:
    assert line(render(results), "One") == ["One", "4,000, 10.0 / 20.0", "", "3"]


def test_each_task_has_a_line_if_it_was_measured(results: dict[str, Any]) -> None:
    assert "of each task" not in render(results)
    results["parts"]["task_steps"] = {"tagging": {"steps_per_second": 1234.5, "p50_ms": 20.0, "p99_ms": 41.26}}
    assert line(render(results), "tagging") == ["tagging", "1,234", "20.0 / 41.3"]
    results["parts"]["task_steps"] = {"failure": "no wrk"}
    assert "not measured: no wrk" in render(results)


def test_a_server_that_did_not_start_says_why_in_its_row(results: dict[str, Any]) -> None:
    assert line(render(results), "LitServe")[1] == "not measured: No module named 'litserve' it said"


def test_a_server_that_failed_later_keeps_its_rows_and_is_mentioned(results: dict[str, Any]) -> None:
    results["failures"]["triton"] = "HTTP Error 500"
    assert line(render(results), "Triton")[1] == "2,000, 20.0 / 40.0"
    assert "\nTriton failed in a later round: HTTP Error 500\n" in render(results)


def test_a_server_that_failed_in_some_rounds_says_in_how_many(results: dict[str, Any]) -> None:
    results |= {"failures": {"triton": "HTTP Error 500"}, "failed_rounds": {"triton": 2}}
    assert line(render(results), "Triton")[1] == "2,000, 20.0 / 40.0"
    assert "\nTriton failed in 2 of 3 rounds: HTTP Error 500\n" in render(results)


@pytest.mark.parametrize(
    ("target", "measured", "verdict"),
    [
        ("steps/s at 64 connections, against Triton's", "2.5", "reached"),
        ("steps/s at 64 connections, moving", "not measured", ""),
        ("p99 at 64 connections, against Triton's", "0.3", "reached"),
        ("median latency at 1 connection, against Triton's", "0.1", "reached"),
        ("steps/s of one worker, against Triton's", "2", "reached"),
        ("64 sessions a request", "0.5", "missed"),
        ("bytes in the store", "500", "missed"),
        ("steps/s at 64 connections, against FastAPI", "not measured", ""),
        ("steps/s in bfloat16", "1", "missed"),
    ],
)
def test_a_target_shows_its_value_and_whether_it_is_reached(
    results: dict[str, Any], target: str, measured: str, verdict: str
) -> None:
    results["rows"] = [*ROWS, row("ours-2-bfloat16", 1, 5000.0)]
    results["parts"]["bulk_steps"] = {"of_loop": 0.5}
    assert line(render(results), target)[3:] == [measured, verdict]


def test_a_processor_without_the_instructions_of_a_dtype_is_mentioned(results: dict[str, Any]) -> None:
    results["machine"]["instructions"] = {"bfloat16": False, "int8": True}
    assert "This processor lacks AVX512-BF16 and AMX: bfloat16" in render(results)
    assert "VNNI" not in render(results)


def test_the_table_goes_between_the_markers_of_a_document_as_often_as_it_is_written(results: dict[str, Any]) -> None:
    document = f"before\n{MARKERS[0]}old\n{MARKERS[1]}after\n"
    once = insert(document, results)
    assert once == f"before\n{MARKERS[0]}\n{steps(results)}\n{MARKERS[1]}after\n"
    assert insert(once, results) == once


def test_a_document_without_the_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="found no place for the table"):
        insert("text\n", {})


def test_the_readme_shows_the_committed_results() -> None:
    results = json.loads((ROOT / "benchmarks" / "results" / "latest.json").read_text("utf-8"))
    assert steps(results) in (ROOT / "README.md").read_text("utf-8"), "run the report with --into README.md"
