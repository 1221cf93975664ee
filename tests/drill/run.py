"""The drill: act after act, each until all of its alerts fire, and then until none of them does."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx

from tests.drill.acts import Act
from tests.drill.load import Load
from tests.drill.stack import Stack

FIRE_SECONDS = 90.0
CLEAR_SECONDS = 120.0
QUIET_SECONDS = 120.0
POLL_SECONDS = 0.3


@dataclass
class Row:
    """One alert in the drill: after how many seconds it fired and, when its cause was gone, cleared; None is never."""

    alert: str
    severity: str
    act: str
    fired: float | None = None
    cleared: float | None = None
    problem: str = ""

    @property
    def passed(self) -> bool:
        return self.fired is not None and self.cleared is not None and not self.problem

    def __str__(self) -> str:
        fired, cleared = (("never" if at is None else f"{at:5.1f} s") for at in (self.fired, self.cleared))
        return f"{self.alert:32} {self.severity:9} {fired:>8} {cleared:>8}  {self.act} {self.problem}".rstrip()


HEADING = f"{'alert':32} {'severity':9} {'fired':>8} {'cleared':>8}  cause"


def drill(stack: Stack, load: Load, acts: Iterable[Act]) -> Iterator[Row]:
    """Perform the acts, and yield what each alert did."""
    until(lambda: not stack.firing(), QUIET_SECONDS)
    for act in acts:
        yield from perform(stack, load, act)


def perform(stack: Stack, load: Load, act: Act) -> list[Row]:
    """Provoke the alerts of an act and wait until they fire; end it and wait until they are gone."""
    rows = {alert: Row(alert, "", act.name) for alert in act.alerts}
    began = time.monotonic()
    with act.provoke(stack, load) as again:

        def all_fire() -> bool:
            with suppress(httpx.TransportError):
                again()
            for alert, found in stack.firing().items():
                if alert in rows and rows[alert].fired is None:
                    note(rows[alert], found, time.monotonic() - began)
            return all(row.fired is not None for row in rows.values())

        until(all_fire, FIRE_SECONDS)
    ended = time.monotonic()

    def all_cleared() -> bool:
        firing = stack.firing()
        for row in rows.values():
            row.cleared = None if row.alert in firing else row.cleared or time.monotonic() - ended
        return all(row.cleared is not None for row in rows.values())

    until(all_cleared, CLEAR_SECONDS)
    return list(rows.values())


def note(row: Row, found: dict[str, Any], seconds: float) -> None:
    """Keep when an alert fired, and whether it can be read."""
    row.fired, row.severity = seconds, found["labels"]["severity"]
    for name in ("summary", "description", "runbook_url"):
        text = found["annotations"].get(name, "")
        if not text or "<no value>" in text or "<error" in text:
            row.problem = f"its {name} is {text!r}"


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Return whether the condition came true in that time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
