"""Streams of steps of many sessions over one WebSocket, on the real service."""

from collections.abc import Iterator

import pytest

import unroll_client
from tests.server import Server
from unroll_client import AsyncClient, Client, RetryPolicy, SessionPool, StepResult

ONCE = RetryPolicy(max_attempts=1)
TEXTS = ["Tom", "likes", "Mary", "very", "much"]


@pytest.fixture
def pool(service: Server) -> Iterator[SessionPool]:
    with Client(service.url) as client:
        yield client.pool({name: client.create_session("tiny") for name in ("a", "b", "c")})


@pytest.mark.parametrize("window", [1, 4, 64])
def test_each_session_gets_its_answers_in_order(pool: SessionPool, window: int) -> None:
    inputs = [(name, text) for text in TEXTS for name in pool]
    with pool.stream(window=window) as stream:
        results = list(stream.steps(inputs, top_k=2))
    for name in pool:
        own = [result for other, result in results if other == name]
        assert [result.step for result in own if isinstance(result, StepResult)] == [1, 2, 3, 4, 5]
        assert pool[name].step_count == 5
        assert pool[name].pending is None


async def test_the_asynchronous_stream_gives_the_same(service: Server, pool: SessionPool) -> None:
    async with AsyncClient(service.url) as client:
        other = client.pool({name: await client.create_session("tiny") for name in pool})
        async with other.stream(window=4) as stream:
            found = [item async for item in stream.steps([(name, text) for text in TEXTS for name in pool])]
    with pool.stream() as stream_:
        expected = list(stream_.steps([(name, text) for text in TEXTS for name in pool]))

    def outputs(results: object) -> dict[tuple[str, int], object]:
        return {
            (name, result.step): result.output.predictions[0].token
            for name, result in results  # type: ignore[attr-defined]
        }

    assert outputs(found) == outputs(expected)


def test_a_step_that_fails_fails_those_behind_it_and_leaves_the_other_sessions_alone(pool: SessionPool) -> None:
    with pool.stream() as stream:
        for name, value in [("a", "Tom"), ("a", {"ids": [10**9]}), ("a", "likes"), ("b", "Tom")]:
            stream.send(name, value)
        results = [stream.receive() for _ in range(4)]
        first, failed, behind = [result for name, result in results if name == "a"]
        assert isinstance(first, StepResult)
        assert isinstance(failed, unroll_client.OutOfVocabulary)
        assert isinstance(behind, unroll_client.UnrollError)
        assert (failed.applied, behind.applied) == ("no", "no")
        assert [result.step for name, result in results if name == "b"] == [1]  # type: ignore[union-attr]
        # What follows is accepted again.
        stream.send("a", "likes")
        stream.send("b", "likes")
        assert {name: result.step for name, result in [stream.receive(), stream.receive()]} == {"a": 2, "b": 2}  # type: ignore[union-attr]


def test_an_ended_session_is_told_as_that(pool: SessionPool) -> None:
    pool.stream().close()
    pool["a"].delete()
    with pool.stream() as stream:
        results = dict(stream.steps([("a", "Tom"), ("b", "Tom")]))
    assert isinstance(results["a"], unroll_client.SessionEnded)
    assert isinstance(results["b"], StepResult)


def test_while_a_session_has_steps_under_way_it_makes_no_other_request(pool: SessionPool) -> None:
    with pool.stream() as stream:
        stream.send("a", "Tom")
        with pytest.raises(unroll_client.RequestPending):
            pool["a"].step("likes")
        stream.receive()
        assert pool["a"].step("likes").step == 2
        with pytest.raises(LookupError):
            stream.receive()


def test_steps_that_a_closed_stream_leaves_are_recovered(pool: SessionPool) -> None:
    stream = pool.stream()
    for text in TEXTS:
        stream.send("a", text)
    stream.close()
    (result,) = pool.recover().values()
    assert isinstance(result, StepResult)
    assert result.step == pool["a"].step_count == 5


def test_a_service_that_is_away_leaves_the_steps_in_no_doubt(pool: SessionPool) -> None:
    away = Client("http://127.0.0.1:1", retry=ONCE)
    session = away.session_class.load(away.service, pool["a"].save(), None)
    with away.pool({"a": session}).stream() as stream:
        (_, result), *others = list(stream.steps([("a", "Tom")]))
    assert isinstance(result, unroll_client.ConnectionFailed)
    assert not others
