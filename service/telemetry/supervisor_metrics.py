"""Metrics of the supervisor."""

from prometheus_client.values import MultiProcessValue

_NAME = "unroll_workers_replaced"
_REASONS = ("died", "hung", "drained", "memory", "restart")


class SupervisorMetrics:
    """Counters and gauges in the folder of metric files (PROMETHEUS_MULTIPROC_DIR), which the workers expose.

    prometheus_client chooses where its own counters are kept when it is imported, and the supervisor makes the folder
    later.
    """

    def __init__(self) -> None:
        value = MultiProcessValue()  # type: ignore[no-untyped-call]
        self._replaced = {
            reason: value("counter", _NAME, f"{_NAME}_total", ("reason",), (reason,), "Workers replaced, by reason")
            for reason in _REASONS
        }
        self._memory, self._memory_limit = (
            value("gauge", name, name, (), (), text, "livemax")
            for name, text in (
                ("unroll_worker_memory_bytes", "Resident memory of the largest worker"),
                ("unroll_worker_memory_limit_bytes", "Resident memory above which a worker is renewed"),
            )
        )

    def worker_replaced(self, reason: str) -> None:
        self._replaced[reason].inc(1)

    def worker_memory(self, largest: int, limit: float) -> None:
        """Record the memory of the largest worker that serves, and its limit."""
        self._memory.set(largest)
        self._memory_limit.set(limit)
