"""The judge finds each broken promise in journals written by hand, and nothing in honest ones."""

import json

import pytest

from service.domain.sessions import Durability
from tests.chaos.automaton import Automaton
from tests.chaos.contents import Generation, Reset, Words
from tests.chaos.http1 import NOTHING, Reply
from tests.chaos.journal import Attempt, Event, Kind, Part, Request, Session
from tests.chaos.oracle import Beginning, Replay
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
        before = [text for event in self.session.events for part in event.parts for text in _texts(part.request)]
        for at, text in enumerate(texts, len(before)):
            before.append(text)
            self.tell("step", (request(text, at), answer("".join(before))))
        return self

    def verdict(self) -> str:
        return "\n".join(self.replay().verdict())

    def replay(self, beginning: Beginning | None = None) -> Replay:
        return Replay(self.session, Exact(AUTOMATON), self.risks, beginning)


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
    return Reply(200, json.dumps(body).encode(), replayed)


def conflict(step: int, applied: str = "no") -> Reply:
    return Reply(409, json.dumps({"error": {"code": "step_conflict", "applied": applied, "step": step}}).encode())


def request(text: str, step: int | None = None, key: str | None = None) -> Request:
    return Request(Words((text,)), step, key)


def _texts(given: Request) -> tuple[str, ...]:
    return given.content.texts if isinstance(given.content, Words) else ()


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


@pytest.mark.parametrize(("shown", "found"), [("abc", False), ("ac", True), ("abbc", True)])
def test_a_step_whose_answer_was_lost_must_show_in_the_next_answer(shown: str, found: bool) -> None:
    story = (
        Story().steps("a").tell("unread", (request("b", 1), NOTHING)).tell("step", (request("c", 2), answer(shown, 3)))
    )
    assert bool(story.verdict()) is found


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


def test_an_abandoned_step_counts_when_the_next_step_follows_it() -> None:
    def story(words: str) -> Story:
        undecided = Reply(503, b'{"error": {"code": "store_unavailable", "applied": "no", "step": 2}}')
        told = Story("replicated").steps("a").tell("abandoned", (request("b", 1, "k"), NOTHING))
        return told.tell("step", (request("c", 1), undecided)).tell("step", (request("d", 2), answer(words, 3)))

    assert story("abd").verdict() == ""
    assert "at step 3" in story("ad").verdict()
    assert "at step 3" in story("acd").verdict()
    without = Story("replicated").steps("a").tell("step", (request("d", 2), answer("abd")))
    assert "only 1 were ever answered" in without.verdict()


def test_what_a_refusal_tells_is_durable_and_what_a_look_shows_need_not_be() -> None:
    def story(told: tuple[Kind, tuple[Request, Reply]], *then: str) -> Story:
        lost = Story("replicated").steps("a").tell("abandoned", (request("b", 1, "k"), NOTHING)).tell(*told)
        for at, words in enumerate(then, 2):
            lost.tell("step", (request(words[-1], at), answer(words)))
        lost.risks.rollbacks.append(Window(1.5, 3.5, frozenset({"memory"})))
        return lost.tell("step", (request("d", 9), conflict(1)))

    shown: tuple[Kind, tuple[Request, Reply]] = ("get", (Request(), look("ab")))
    assert story(shown).verdict() == ""
    assert "are lost" in story(("step", (request("c", 1), conflict(2)))).verdict()
    assert "are lost" in story(shown, "abc").verdict()


def test_an_abandoned_request_in_the_place_of_a_step_counts_as_known_only_where_that_step_may_be_lost() -> None:
    def story(level: Durability) -> Story:
        told = Story(level).steps("a").tell("abandoned", (request("b", 1, "k"), NOTHING))
        told.tell("step", (request("c", 1), answer("ac"))).tell("step", (request("d", 2), answer("abd")))
        told.risks.rollbacks.append(Window(2.5, 3.5, frozenset({"memory"})))
        return told

    assert story("memory").verdict() == ""
    assert "at step 3" in story("fsynced").verdict()


def test_a_lost_request_that_is_applied_after_a_rollback_counts_as_known_only_where_it_was_refused_for_that() -> None:
    def story(*replies: Reply, words: str = "acbd") -> Story:
        told = Story("fsynced").steps("a", "b").tell("step", (request("b", 2), *replies))
        told.tell("step", (request("c", 1), answer("ac"))).tell("step", (request("d", 2), conflict(3)))
        told.risks.rollbacks.append(Window(1.5, 3.5, frozenset({"fsynced"})))
        return told.tell("step", (request("d", 3), answer(words)))

    assert story(NOTHING, conflict(1)).verdict() == ""
    assert "at step 4" in story(NOTHING, conflict(1), words="acdd").verdict()
    assert "only 2 were ever answered" in story(conflict(1)).verdict()


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


def look(words: str, status: int = 200, **changes: object) -> Reply:
    """The honest Session after these words."""
    body = {"id": "ses_x", "model": "adder", "step": len(words), "timesteps": len(words), "ttl_seconds": 3600}
    return Reply(status, json.dumps(body | changes).encode())


def test_what_was_generated_must_be_what_the_network_says_and_lead_on() -> None:
    def story(tokens: list[str]) -> Story:
        body = {"session_id": "ses_x", "model": "adder", "step": 1, "timesteps": 2, "output": {"tokens": tokens}}
        told = Story().tell("step", (Request(Generation((), 2), 0), Reply(200, json.dumps(body).encode())))
        return told.tell(
            "step", (request("a", 1), Reply(200, json.dumps(after | {"step": 2, "timesteps": 3}).encode()))
        )

    names, state = AUTOMATON.generate(AUTOMATON.start, 2)
    shown = {"predictions": [{"token": f"s{AUTOMATON.step(state, 'a')}"}]}
    after = {"session_id": "ses_x", "model": "adder", "output": shown}
    assert story(names).verdict() == ""
    assert "at step 1" in story(names[::-1]).verdict()


def test_a_look_ahead_shows_what_a_step_would_and_changes_nothing() -> None:
    def story(word: str) -> Story:
        ahead = json.loads(answer("abc").body) | {"step": 2, "timesteps": 2}
        told = Story().steps("a", "b").tell("look", (Request(Words((word,))), Reply(200, json.dumps(ahead).encode())))
        return told.tell("step", (request("d", 2), answer("abd")))

    assert story("c").verdict() == ""
    assert "at step 2" in story("a").verdict()


def test_a_fork_begins_where_its_parent_stood_and_goes_its_own_way() -> None:
    made = json.loads(look("a").body) | {"id": "ses_y"}
    parent = Story().steps("a", "b").tell("fork", (Request(step=1, key="k"), Reply(201, json.dumps(made).encode())))
    replay = parent.tell("step", (request("c", 2), answer("abc"))).replay()
    assert replay.verdict() == []
    child, other = Story(), Story()
    child.session.id = other.session.id = "ses_y"
    for story, words in ((child, "ad"), (other, "abd")):
        body = json.loads(answer(words).body) | {"session_id": "ses_y", "step": 2, "timesteps": 2}
        story.tell("step", (request("d", 1), Reply(200, json.dumps(body).encode())))
    assert child.replay(replay.children["ses_y"]).verdict() == []
    assert "at step 2" in other.replay(replay.children["ses_y"]).verdict()[0]


def test_a_fork_that_was_repeated_is_one_session() -> None:
    twins = [(Request(key="k"), look("a", 201, id=name)) for name in ("ses_y", "ses_z")]
    assert "two sessions" in Story().steps("a").tell("fork", *twins).verdict()


def test_a_fork_from_a_step_that_is_kept_is_not_refused() -> None:
    refused = Reply(422, b'{"error": {"code": "invalid_request", "applied": null, "step": null}}')
    assert "422" in Story().steps("a", "b").tell("fork", (Request(step=1, key="k"), refused)).verdict()


def test_a_renewal_counts_until_it_may_be_lost() -> None:
    def story(told: Reply) -> Story:
        return (
            Story(ttl=2).steps("a").tell("patch", (Request(), look("a", ttl_seconds=3))).tell("get", (Request(), told))
        )

    assert story(look("a", ttl_seconds=3)).verdict() == ""
    assert "lives 2 s" in story(look("a", ttl_seconds=2)).verdict()
    lost = story(look("a", ttl_seconds=2))
    lost.risks.rollbacks.append(Window(1.5, 2.5, frozenset({"memory"})))
    assert lost.verdict() == ""
    assert "session_expired" in story(EXPIRED).verdict()


def test_the_steps_of_one_request_keep_their_order() -> None:
    turned = [(request("b", None, "k"), answer("ab")), (request("a", None, "l"), answer("a"))]
    assert "another order" in Story().tell("queue", *turned).verdict()
    assert Story().tell("queue", *reversed(turned)).verdict() == ""


def test_a_session_that_never_was_is_told_among_others() -> None:
    unknown = Reply(404, b'{"error": {"code": "session_not_found", "applied": "no", "step": null}}')
    told = Story().tell("stranger", (request("a"), unknown)).tell("step", (request("a", 0), answer("a")))
    assert told.verdict() == ""
    assert "never was" in Story().tell("stranger", (request("a"), answer("a"))).verdict()


def reset(step: int, fed: int, *, replayed: bool = False, created: str = "") -> Reply:
    """The Session after a reset, which was its step `step`."""
    body = {"id": "ses_x", "model": "adder", "step": step, "timesteps": fed, "ttl_seconds": 3600, "created_at": created}
    return Reply(200, json.dumps(body).encode(), replayed)


def after_reset(fed: int, *words: str) -> Reply:
    """The honest answer to the last of these words, which are all that count of `fed` timesteps."""
    return Reply(
        200, json.dumps(json.loads(answer("".join(words)).body) | {"step": fed + 1, "timesteps": fed}).encode()
    )


def test_a_session_goes_on_from_its_start_or_from_the_kept_step_after_a_reset() -> None:
    for at, words in ((None, "d"), (1, "ad")):
        asked = Request(Reset(at), key="k")
        story = Story().steps("a", "b", "c").tell("twin", (asked, reset(4, 3)), (asked, reset(4, 3, replayed=True)))
        assert story.tell("step", (request("d", 4), after_reset(4, *words))).verdict() == ""


def test_a_reset_that_is_lost_doubled_or_goes_elsewhere_is_found() -> None:
    asked = Request(Reset(), key="k")
    lost = Story().steps("a", "b").tell("step", (asked, reset(3, 2)))
    assert "at step 4" in lost.tell("step", (request("c", 3), after_reset(3, *"abc"))).verdict()
    twice = [(asked, reset(3, 2)), (asked, reset(3, 2, created="later", replayed=True))]
    assert "answered differently" in Story().steps("a", "b").tell("twin", *twice).verdict()
    both = [(asked, reset(3, 2)), (asked, reset(3, 2))]
    assert "applied twice" in Story().steps("a", "b").tell("twin", *both).verdict()
    assert "timesteps" in Story().steps("a", "b").tell("step", (asked, reset(3, 0))).verdict()
    kept = Story().steps("a", "b").tell("step", (Request(Reset(1), key="k"), reset(3, 2)))
    assert "at step 4" in kept.tell("step", (request("c", 3), after_reset(3, "c"))).verdict()


def test_a_reset_among_requests_at_once_has_its_place() -> None:
    parts = [(request("b", None, "m"), after_reset(3, "b")), (Request(Reset(), key="l"), reset(3, 2))]
    assert Story().steps("a", "c").tell("group", *parts).verdict() == ""


def test_a_reset_to_a_step_that_is_kept_is_not_refused() -> None:
    refused = Reply(422, b'{"error": {"code": "invalid_request", "applied": "no", "step": null}}')
    for step in (1, 2):
        story = Story().steps("a", "b").tell("step", (Request(Reset(step), key="k"), refused))
        assert "422" in story.verdict()
        story.risks.rollbacks.append(Window(0.5 + step - 1, 2.5, frozenset({"memory"})))
        assert story.verdict() == ""
        story.risks.rollbacks[:] = [Window(0.5 + step, 2.5, frozenset({"memory"}))]
        assert "422" in story.verdict()
