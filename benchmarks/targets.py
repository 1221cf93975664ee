"""Performance targets, as ratios within one run, and their measured values."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: What a run writes as JSON, and one measurement of it.
Results = Mapping[str, Any]
Row = dict[str, Any]


def medians(rows: Sequence[Row]) -> list[Row]:
    """Return one row per server and load: medians over the rounds, the sum of the errors."""
    groups: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["server"], row["manner"], row["connections"]), []).append(row)
    return [
        {"server": server, "manner": connection_use, "connections": connections}
        | {name: statistics.median(row[name] for row in group) for name in ("rate", "p50", "p99")}
        | {"errors": sum(row["errors"] for row in group)}
        for (server, connection_use, connections), group in groups.items()
    ]


def rows_at(results: Results, connections: int, manner: str = "stay") -> dict[str, Row]:
    """Return the row of every server at this number of connections, with sessions that stay on them or move."""
    load = (manner, connections)
    return {row["server"]: row for row in medians(results["rows"]) if (row["manner"], row["connections"]) == load}


@dataclass(frozen=True)
class Target:
    """A performance target: the ratio to reach, a more ambitious goal, and a function that reads the value.

    The function returns None for results that lack the value.
    """

    title: str
    threshold: float
    goal: float
    measured: Callable[[Results], float | None]

    @property
    def less_is_better(self) -> bool:
        return self.goal < self.threshold

    def reached(self, measured: float) -> bool:
        return measured <= self.threshold if self.less_is_better else measured >= self.threshold


def _ratio(
    value: str, connections: int, baseline: str, *, own: str = "ours-2", manner: str = "stay"
) -> Callable[[Results], float | None]:
    """Return a function that reads a value of a row of this service, divided by that of another row."""

    def measured(results: Results) -> float | None:
        rows = rows_at(results, connections, manner)
        return rows[own][value] / rows[baseline][value] if own in rows and baseline in rows else None

    return measured


def _forward(name: str, baseline: str, batches: tuple[int, ...]) -> Callable[[Results], float | None]:
    """Return a function that reads the smallest ratio among the batch sizes."""

    def measured(results: Results) -> float | None:
        rates = results.get("parts", {}).get("forward", {}).get("steps_per_second", {})
        rows = [rates.get(str(batch), {}) for batch in batches]
        if not all(name in row and baseline in row for row in rows):
            return None
        return float(min(row[name] / row[baseline] for row in rows))

    return measured


def _part(part: str, name: str) -> Callable[[Results], float | None]:
    def measured(results: Results) -> float | None:
        value = results.get("parts", {}).get(part, {}).get(name)
        return None if value is None else float(value)

    return measured


TARGETS = [
    Target("steps/s at 64 connections, against Triton's", 2.3, 3.0, _ratio("rate", 64, "triton")),
    Target("steps/s at 256 connections, against Triton's", 2.0, 2.5, _ratio("rate", 256, "triton")),
    Target(
        "steps/s at 64 connections, moving, against Triton's", 1.7, 2.2, _ratio("rate", 64, "triton", manner="move")
    ),
    Target("p99 at 64 connections, against Triton's", 0.5, 0.4, _ratio("p99", 64, "triton")),
    Target("median latency at 1 connection, against Triton's", 0.25, 0.18, _ratio("p50", 1, "triton")),
    Target("steps/s in bfloat16 against float32", 1.15, 1.3, _ratio("rate", 64, "ours-2", own="ours-2-bfloat16")),
    Target("steps/s in int8 against float32", 1.3, 1.5, _ratio("rate", 64, "ours-2", own="ours-2-int8")),
    Target("steps/s at 64 connections, against FastAPI + nn.LSTM + Redis", 35, 50, _ratio("rate", 64, "fastapi")),
    Target("steps/s of one worker, against Triton's", 1.6, 2.0, _ratio("rate", 64, "triton", own="ours-1")),
    Target("64 WebSockets: steps/s against requests", 1.3, 1.5, _part("websocket_steps", "websockets_of_requests")),
    Target(
        "64 sessions over one WebSocket: steps/s against requests",
        1.3,
        1.5,
        _part("websocket_steps", "one_websocket_of_requests"),
    ),
    Target("64 sessions a request: steps/s against the bare forward loop", 0.55, 0.75, _part("bulk_steps", "of_loop")),
    Target(
        "64 sessions of an ONNX graph: steps/s of the task against ONNX Runtime's own session",
        0.7,
        0.85,
        _part("tensor_steps", "of_loop"),
    ),
    Target("64 generations at once: tokens/s against the bare forward loop", 0.8, 0.9, _part("generations", "of_loop")),
    Target(
        "forward pass against ONNX Runtime, float32, the least of B = 1, 16, 64",
        0.9,
        1.1,
        _forward("ours float32", "ONNX Runtime float32", (1, 16, 64)),
    ),
    Target(
        "forward pass in bfloat16 against float32, B = 64", 1.4, 1.6, _forward("ours bfloat16", "ours float32", (64,))
    ),
    Target("forward pass in int8 against float32, B = 64", 1.6, 2.5, _forward("ours int8", "ours float32", (64,))),
    Target(
        "generations at 70 % load: median latency against waiting for whole batches",
        0.4,
        0.25,
        _part("generations", "of_whole_batches"),
    ),
    Target("goodput at twice the capacity, against its peak", 0.75, 1.0, _part("overload", "of_peak")),
    Target("steps/s of the store among 1,000,000 sessions, against 1,000", 0.9, 1.0, _part("many_sessions", "of_few")),
    Target("bytes in the store per session beyond its state", 400, 200, _part("many_sessions", "bytes_beyond_state")),
]
