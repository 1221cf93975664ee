"""The judge finds each broken promise in journals written by hand, and nothing in honest ones."""

import json

import pytest

from service.types import Durability
from tests.chaos.automaton import Automaton
from tests.chaos.http1 import NOTHING, Reply
from tests.chaos.journal import Attempt, Event, Kind, Part, Request, Session
from tests.chaos.oracle import Replay
from tests.chaos.replay import Exact
from tests.chaos.risks import Risks, Window

AUTOMATON = Automaton()
REFUSED = Reply(503, b'{"error": {"code": "store_unavailable", "applied": "no", "step": null}}')
EXPIRED = Reply(410, b'{"error": {"code": "session_expired", "applied": "no", "step": null}}')


class Story:
    """A session's journal as it grows, one second an event; the service of it is honest unless told otherwise."""

    def __init__(self, durability: Durability = "memory", ttl: int = 3600) -> None:
        self.session = Session("ses_x", "adder", durability, ttl, 0.0, 0.0, 0)
        self.risks = Risks()

    def tell(self, kind: Kind, *parts: tuple[Request, *tuple[Reply, ...]]) -> "Story":
        at = len(self.session.events) + 1.0
        told = [Part(request, [Attempt(at, at, reply) for reply in replies]) for request, *replies in parts]
        self.session.events.append(Event(kind, told))
        return self

    def steps(self, *texts: str) -> "Story":
        """Ordinary steps after those that there are, all of them of one word each."""
        before = [part.request.words[0] for event in self.session.events for part in event.parts]
        for at, text in enumerate(texts, len(before)):
            before.append(text)
            self.tell("step", (Request((text,), at), answer("".join(before))))
        return self

    def verdict(self) -> str:
        return "\n".join(Replay(self.session, Exact(AUTOMATON), self.risks).verdict())


def answer(words: str, step: int | None = None, *, replayed: bool = False, extra: str = "") -> Reply:
    """The honest answer after these words, a step each."""
    state = AUTOMATON.after(AUTOMATON.start, words)
    body = {
        "session_id": "ses_x",
        "model": "adder",
        "step": len(words) if step is None else step,
        "timesteps": len(words),
        "output": {"predictions": [{"token": f"s{state}"}]},
        "expires_at": extra,
    }
    return Reply(200, json.dumps(body).encode(), {"unroll-replayed": "true"} if replayed else {})


def conflict(step: int, applied: str = "no") -> Reply:
    return Reply(409, json.dumps({"error": {"code": "step_conflict", "applied": applied, "step": step}}).encode())


def request(text: str, step: int | None = None, key: str | None = None) -> Request:
    return Request((text,), step, key)


def test_an_honest_journal_has_no_violation() -> None:
    story = Story().steps("a", "b", "c")
    story.tell("late", (request("b", 1), conflict(3, "unknown")))
    story.tell("step", (request("d", 3, "k"), NOTHING, REFUSED, answer("abcd", replayed=True)))
    story.tell("twin", *[(request("a", 4), answer("abcda", replayed=again)) for again in (False, True)])
    story.tell("group", (request("b", None, "m"), answer("abcdacb")), (request("c", None, "l"), answer("abcdac")))
    assert story.verdict() == ""


@pytest.mark.parametrize(
    "shown",
    [
        answer("ac", 3),  # a step lost
        answer("abbc", 3),  # a step doubled
        answer("bac", 3),  # two steps in another order
        answer("c", 3),  # a fresh start
    ],
)
def test_an_answer_from_another_state_is_found(shown: Reply) -> None:
    assert "at step 3" in Story().steps("a", "b").tell("step", (request("c", 2), shown)).verdict()


def test_an_acknowledged_step_that_is_gone_is_found() -> None:
    story = Story().steps("a", "b").tell("step", (request("c", 2), conflict(1)))
    assert "acknowledged steps are lost" in story.verdict()


def test_a_rollback_of_the_store_may_lose_what_it_may_lose_and_must_tell_it() -> None:
    def story(level: Durability, since: float) -> Story:
        told = Story(level).steps("a", "b").tell("step", (request("c", 2), conflict(1)))
        told.risks.rollbacks.append(Window(since, 2.5, frozenset({"memory"})))
        return told.tell("step", (request("d", 1), answer("ad")))

    assert story("memory", 1.5).verdict() == ""
    assert "lost" in story("memory", 2.2).verdict()
    assert "lost" in story("fsynced", 1.5).verdict()


def test_a_step_that_was_applied_after_no_is_found() -> None:
    refused = Story().steps("a").tell("step", (request("b", 1, "k"), REFUSED))
    assert "only 1 were ever answered" in refused.tell("step", (request("c", 1), conflict(2))).verdict()
    late = Story().steps("a", "b").tell("late", (request("a", 0), conflict(2, "no")))
    assert "reported as `no` and is applied" in late.verdict()


def test_an_abandoned_step_counts_when_the_service_says_so() -> None:
    story = Story().steps("a").tell("abandoned", (request("b", 1, "k"), NOTHING))
    story.tell("step", (request("c", 1), conflict(2))).tell("step", (request("d", 2), answer("abd")))
    assert story.verdict() == ""


def test_an_abandoned_request_in_the_place_of_a_step_counts_as_known_only_where_that_step_may_be_lost() -> None:
    def story(level: Durability) -> Story:
        told = Story(level).steps("a").tell("abandoned", (request("b", 1, "k"), NOTHING))
        told.tell("step", (request("c", 1), answer("ac"))).tell("step", (request("d", 2), answer("abd")))
        told.risks.rollbacks.append(Window(2.5, 3.5, frozenset({"memory"})))
        return told

    assert story("memory").verdict() == ""
    assert "at step 3" in story("fsynced").verdict()


def test_a_request_that_was_applied_twice_is_found() -> None:
    twins = [(request("a", None, "k"), answer("a")), (request("a", None, "k"), answer("a"))]
    assert "applied twice" in Story().tell("twin", *twins).verdict()
    other = [(request("a", 0), answer("a")), (request("a", 0), answer("a", replayed=True, extra="later"))]
    assert "answered differently" in Story().tell("twin", *other).verdict()


def test_requests_at_once_that_took_the_same_place_are_found() -> None:
    both = [(request("a", None, "k"), answer("a")), (request("b", None, "l"), answer("b"))]
    assert "tell no order" in Story().tell("group", *both).verdict()


def test_an_overtaken_request_takes_the_place_that_is_left() -> None:
    story = Story().tell(
        "group", (request("a", None, "k"), conflict(2, "yes")), (request("b", None, "l"), answer("ab"))
    )
    assert story.tell("step", (request("c", 2), answer("abc"))).verdict() == ""


def test_a_session_ends_only_when_its_time_is_over() -> None:
    assert "410 session_expired" in Story().steps("a").tell("step", (request("b", 1), EXPIRED)).verdict()
    assert Story(ttl=1).steps("a").tell("step", (request("b", 1), EXPIRED)).verdict() == ""


def test_a_request_that_was_never_answered_is_found() -> None:
    unknown = Reply(503, b'{"error": {"code": "store_unavailable", "applied": "unknown"}}')
    assert "never answered" in Story().tell("step", (request("a", 0), unknown, REFUSED)).verdict()
