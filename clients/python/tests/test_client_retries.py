"""Repetition of requests, against a server that answers by a script."""

import time
from typing import Any

import pytest

import unroll_client
from scripted_server import CUT, DONE, FAST, INFO, Answer, Received, ScriptedServer, error
from unroll_client import Client, Session


def result(step: int, **fields: Any) -> Answer:
    head = {"session_id": "ses_a", "model": "tiny", "version": "1", "step": step, "timesteps": 3 * step}
    return Answer(200, head | DONE | fields)


def sent(scripted: ScriptedServer) -> list[Received]:
    return [request for request in scripted.received if request.path.endswith("/steps")]


def test_a_step_names_the_step_count_that_it_expects_and_a_key(scripted: ScriptedServer, session: Session) -> None:
    scripted.will(result(1), result(2))
    session.step("a")
    session.step("b", top_k=3)
    first, second = sent(scripted)
    assert first.body == {"input": {"text": "a"}, "step": 0}
    assert second.body == {"input": {"text": "b"}, "step": 1, "options": {"top_k": 3}}
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]


@pytest.mark.parametrize(
    "failure",
    [
        CUT,
        Answer(200, {"session_id": "ses_a"}, cut=5),
        Answer(200, b"not JSON"),
        Answer(502, b"<html>Bad Gateway</html>"),
        result(7),
        result(1, session_id="ses_other"),
        error(503, "store_unavailable", applied="unknown"),
        error(503, "overloaded", applied="no"),
        error(503, "durability_not_reached", applied="yes", step=1),
        error(500, "internal_error", applied="unknown"),
        error(429, "rate_limited", applied="no"),
        Answer(delay=1.3, cut=-1),
    ],
)
def test_a_step_without_a_good_answer_is_sent_again_as_it_was(
    failure: Answer, scripted: ScriptedServer, session: Session
) -> None:
    scripted.will(failure, result(1))
    assert session.step("a").step == 1
    first, second = sent(scripted)
    assert first.content == second.content
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert session.step_count == 1
    assert session.pending is None


def test_a_repetition_waits_as_long_as_the_service_asks_for(scripted: ScriptedServer, session: Session) -> None:
    scripted.will(error(503, "overloaded", applied="no", Retry_After="1"), result(1))
    session.step("a")
    first, second = sent(scripted)
    assert second.at - first.at >= 1.0


def test_a_step_is_given_up_at_once_if_the_service_asks_for_more_time_than_there_is(
    scripted: ScriptedServer, client: Client, session: Session
) -> None:
    scripted.will(error(503, "store_unavailable", applied="no", Retry_After="3600"))
    started = time.monotonic()
    with pytest.raises(unroll_client.StoreUnavailable) as caught:
        session.step("a")
    assert time.monotonic() - started < 30
    assert caught.value.retry_after == 3600


def test_an_error_has_its_code_request_id_and_step(scripted: ScriptedServer, session: Session) -> None:
    scripted.will(error(409, "step_conflict", applied="no", step=5))
    with pytest.raises(unroll_client.StepConflict) as caught:
        session.step("a")
    found = caught.value
    assert (found.code, found.status, found.applied, found.step) == ("step_conflict", 409, "no", 5)
    assert found.request_id == "req-1"
    assert session.pending is None
    assert session.step_count == 0


def test_a_refused_step_is_not_repeated(scripted: ScriptedServer, session: Session) -> None:
    scripted.will(error(422, "invalid_request", applied="no"))
    with pytest.raises(unroll_client.InvalidRequest):
        session.step("a")
    assert session.pending is None


def test_attempts_are_bounded(scripted: ScriptedServer, session: Session) -> None:
    scripted.will(*[error(503, "overloaded", applied="no")] * FAST.max_attempts)
    with pytest.raises(unroll_client.Overloaded) as caught:
        session.step("a")
    assert caught.value.applied == "no"
    assert session.pending is None


def test_a_step_is_in_doubt_if_any_attempt_was(scripted: ScriptedServer, session: Session) -> None:
    scripted.will(CUT, *[error(503, "overloaded", applied="no")] * (FAST.max_attempts - 1))
    with pytest.raises(unroll_client.Overloaded) as caught:
        session.step("a")
    assert caught.value.applied == "unknown"
    assert session.pending is not None


def test_the_same_step_again_is_the_same_request(scripted: ScriptedServer, session: Session) -> None:
    scripted.will(*[CUT] * FAST.max_attempts, error(503, "overloaded", applied="no"), result(1))
    with pytest.raises(unroll_client.ConnectionFailed) as caught:
        session.step("a")
    assert caught.value.applied == "unknown"
    session.step("a")
    assert len({request.headers["idempotency-key"] for request in sent(scripted)}) == 1


def test_doubt_outlives_further_calls(scripted: ScriptedServer, session: Session) -> None:
    scripted.will(*[CUT] * FAST.max_attempts, *[error(503, "overloaded", applied="no")] * FAST.max_attempts)
    for kind in (unroll_client.ConnectionFailed, unroll_client.Overloaded):
        with pytest.raises(kind) as caught:
            session.step("a")
        assert caught.value.applied == "unknown"


def test_another_step_is_refused_while_one_is_in_doubt(scripted: ScriptedServer, session: Session) -> None:
    scripted.will(*[CUT] * FAST.max_attempts, result(1), result(2))
    with pytest.raises(unroll_client.ConnectionFailed):
        session.step("a")
    with pytest.raises(unroll_client.RequestPending):
        session.step("b")
    (recovered,) = session.recover()
    assert recovered.step == 1
    assert session.step("b").step == 2


def test_resync_forgets_the_pending_step(scripted: ScriptedServer, session: Session) -> None:
    scripted.will(*[CUT] * FAST.max_attempts, Answer(200, INFO | {"step": 1}), result(2))
    with pytest.raises(unroll_client.ConnectionFailed):
        session.step("a")
    assert session.resync().step == 1
    assert session.step("b").step == 2


def test_a_durability_that_is_not_reached_stays_pending_and_applied(scripted: ScriptedServer, session: Session) -> None:
    scripted.will(*[error(503, "durability_not_reached", applied="yes", step=1)] * FAST.max_attempts)
    with pytest.raises(unroll_client.DurabilityNotReached) as caught:
        session.step("a")
    assert caught.value.applied == "yes"
    assert session.pending is not None


def test_a_wrong_key_leaves_a_step_in_doubt_pending(scripted: ScriptedServer, session: Session) -> None:
    scripted.will(CUT, error(401, "invalid_api_key", applied="no"))
    with pytest.raises(unroll_client.Unauthorized) as caught:
        session.step("a")
    assert caught.value.applied == "unknown"
    assert session.pending is not None


def test_a_body_that_is_no_json_is_refused_before_it_is_sent(scripted: ScriptedServer, session: Session) -> None:
    with pytest.raises(ValueError, match="JSON"):
        session.step({"values": [float("inf")]})
    assert session.pending is None


def test_nobody_listening_means_not_applied(scripted: ScriptedServer) -> None:
    with Client("http://127.0.0.1:9", retry=FAST) as client, pytest.raises(unroll_client.ConnectionFailed) as caught:
        client.models()
    assert caught.value.applied == "no"


def test_a_deletion_that_lost_its_answer_is_done(scripted: ScriptedServer, session: Session) -> None:
    scripted.will(CUT, error(410, "session_ended"))
    session.delete()


def test_a_session_block_deletes_its_session_unless_it_fails(scripted: ScriptedServer, client: Client) -> None:
    scripted.will(Answer(201, INFO), Answer(204, b""), Answer(201, INFO))
    with client.create_session("tiny"):
        pass
    assert scripted.received[-1].method == "DELETE"
    with pytest.raises(RuntimeError), client.create_session("tiny"):
        raise RuntimeError
    assert scripted.received[-1].method == "POST"


def test_creation_is_repeated_with_its_key(scripted: ScriptedServer, client: Client) -> None:
    scripted.will(CUT, Answer(201, INFO))
    client.create_session("tiny")
    first, second = scripted.received
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


def test_an_unknown_member_of_an_answer_is_left_out(scripted: ScriptedServer, session: Session) -> None:
    scripted.will(result(1, novelty=1))
    assert session.step("a").step == 1


def test_the_output_of_an_unknown_task_is_json(scripted: ScriptedServer, session: Session) -> None:
    scripted.will(result(1, output={"outlines": ["x"]}))
    assert session.step("a").output == {"outlines": ["x"]}


def test_a_request_tells_the_service_how_long_the_client_waits(scripted: ScriptedServer, session: Session) -> None:
    scripted.will(result(1))
    session.step("a")
    assert sent(scripted)[0].headers["x-request-timeout-ms"] == "1000"


def test_the_methods_of_both_clients_are_the_same() -> None:
    for sync, asynchronous in [
        (Client, unroll_client.AsyncClient),
        (Session, unroll_client.AsyncSession),
        (unroll_client.SessionStream, unroll_client.AsyncSessionStream),
        (unroll_client.SessionPool, unroll_client.AsyncSessionPool),
        (unroll_client.TokenStream, unroll_client.AsyncTokenStream),
    ]:
        assert public(sync) == public(asynchronous)


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}
