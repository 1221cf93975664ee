"""Metrics of the supervisor."""

from prometheus_client.values import MultiProcessValue

_NAME = "unroll_workers_replaced"
_REASONS = ("died", "hung", "drained", "memory", "restart")


class SupervisorMetrics:
    """Counters in the folder of metric files that the workers share (PROMETHEUS_MULTIPROC_DIR), which they expose.

    prometheus_client chooses where its own counters are kept when it is imported, and the supervisor makes the folder
    later.
    """

    def __init__(self) -> None:
        value = MultiProcessValue()  # type: ignore[no-untyped-call]
        self._replaced = {
            reason: value("counter", _NAME, f"{_NAME}_total", ("reason",), (reason,), "Workers replaced, by reason")
            for reason in _REASONS
        }

    def worker_replaced(self, reason: str) -> None:
        self._replaced[reason].inc(1)
