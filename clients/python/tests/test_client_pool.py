"""Pools of sessions, against a server that answers by a script."""

from typing import Any

import pytest

import unroll_client
from scripted_server import CUT, DONE, FAST, INFO, Answer, ScriptedServer, error
from unroll_client import Client, SessionPool, StepResult


def result(name: str, step: int = 1) -> dict[str, Any]:
    return {"session_id": f"ses_{name}", "model": "tiny", "version": "1", "step": step, "timesteps": 3 * step} | DONE


def failure(code: str, applied: str) -> dict[str, Any]:
    return {"error": {"code": code, "type": "x", "message": code, "param": None, "applied": applied, "step": 0}}


def results(*items: dict[str, Any]) -> Answer:
    return Answer(200, {"results": list(items)})


@pytest.fixture
def pool(scripted: ScriptedServer, client: Client) -> SessionPool:
    scripted.will(*[Answer(201, INFO | {"id": f"ses_{name}"}) for name in "abc"])
    return client.pool({name: client.create_session("tiny") for name in "abc"})


def sent(scripted: ScriptedServer) -> list[list[dict[str, Any]]]:
    return [request.body["steps"] for request in scripted.received if request.path.endswith("/steps")]


def test_all_steps_go_by_one_request_with_a_step_and_a_key_each(scripted: ScriptedServer, pool: SessionPool) -> None:
    scripted.will(results(result("a"), result("b"), result("c")))
    found = pool.step({"a": "x", "b": "y", "c": "z"}, top_k=2)
    assert list(found) == ["a", "b", "c"]
    assert all(isinstance(item, StepResult) for item in found.values())
    (steps,) = sent(scripted)
    assert [step["session_id"] for step in steps] == ["ses_a", "ses_b", "ses_c"]
    assert {step["step"] for step in steps} == {0}
    assert len({step["idempotency_key"] for step in steps}) == 3
    assert steps[0]["options"] == {"top_k": 2}


def test_only_the_steps_that_failed_for_a_while_are_sent_again(scripted: ScriptedServer, pool: SessionPool) -> None:
    scripted.will(
        results(result("a"), failure("overloaded", "no"), failure("step_conflict", "no")),
        results(result("b")),
    )
    found = pool.step({"a": "x", "b": "y", "c": "z"})
    assert isinstance(found["c"], unroll_client.StepConflict)
    assert isinstance(found["b"], StepResult)
    first, second = sent(scripted)
    assert second == [first[1]]
    assert [session.step_count for session in pool.values()] == [1, 1, 0]


@pytest.mark.parametrize("broken", [CUT, Answer(502, b"?"), Answer(200, {"results": []}), error(503, "overloaded")])
def test_a_request_without_a_good_answer_is_sent_again_as_it_was(
    broken: Answer, scripted: ScriptedServer, pool: SessionPool
) -> None:
    scripted.will(broken, results(result("a"), result("b")))
    found = pool.step({"a": "x", "b": "y"})
    assert all(isinstance(item, StepResult) for item in found.values())
    first, second = sent(scripted)
    assert first == second


def test_steps_in_doubt_are_recovered_together(scripted: ScriptedServer, pool: SessionPool) -> None:
    scripted.will(*[CUT] * FAST.max_attempts, results(result("a"), result("b")))
    found = pool.step({"a": "x", "b": "y"})
    assert [getattr(item, "applied", None) for item in found.values()] == ["unknown", "unknown"]
    refused = pool.step({"a": "other"})
    assert isinstance(refused["a"], unroll_client.RequestPending)
    assert {name: type(item) for name, item in pool.recover().items()} == {"a": StepResult, "b": StepResult}


def test_one_invalid_step_does_not_stop_the_others(scripted: ScriptedServer, pool: SessionPool) -> None:
    refusal = failure("invalid_request", "no")
    refusal["error"]["param"] = "steps[1].input.text"
    scripted.will(Answer(422, refusal), results(result("a"), result("c")))
    found = pool.step({"a": "x", "b": "", "c": "z"})
    assert isinstance(found["b"], unroll_client.InvalidRequest)
    assert isinstance(found["a"], StepResult)
    assert isinstance(found["c"], StepResult)
    first, second = sent(scripted)
    assert second == [first[0], first[2]]
    assert pool["b"].pending is None


def test_the_error_of_a_session_is_its_own(scripted: ScriptedServer, pool: SessionPool) -> None:
    scripted.will(*[error(503, "overloaded", applied="no")] * FAST.max_attempts)
    found = pool.step({"a": "x", "b": "y"})
    assert found["a"] is not found["b"]
    assert pool["a"].pending is None
