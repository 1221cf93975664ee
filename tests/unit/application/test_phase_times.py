"""How long the phases of an operation take."""

from service.application.phase_times import PhaseTimes


class Noted:
    """A trace that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def begin(self, phase: str) -> None:
        self.told.append(phase)

    def end(self) -> None:
        self.told.append("end")


def test_phases_that_come_again_are_added_up_and_a_trace_beside_them_is_told() -> None:
    times, trace = iter([0.0, 1.0, 3.0, 6.0, 6.5, 9.0]), Noted()
    phases = PhaseTimes(lambda: next(times), trace)
    for phase in ("queue", "run", "queue", "run"):
        phases.begin(phase)
    phases.end()
    phases.end()
    assert phases.milliseconds() == {"queue": 4000.0, "run": 2500.0}
    assert trace.told == ["queue", "run", "queue", "run", "end", "end"]
