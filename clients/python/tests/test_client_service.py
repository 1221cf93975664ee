"""The calls of both clients against the real service."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import unroll_client
from tests.server import Server
from unroll_client import AsyncClient, Client, Forecast, Generated, NextWords, StepResult, Suggestions

START = "2026-01-05T00:00:00Z"


@pytest.fixture(scope="module")
def client(service: Server) -> Iterator[Client]:
    with Client(service.url) as client:
        yield client


def test_models_are_listed_and_described(client: Client) -> None:
    tasks = {model.id: model.task for model in client.models()}
    assert tasks == {
        "tiny": "next-word",
        "captions": "next-word",
        "mt": "translation",
        "sensor": "forecasting",
        "mood": "classification",
        "tags": "tagging",
        "river": "regression",
        "vectors": "embedding",
        "sum": "tensor",
    }
    assert client.model("tiny").default_version == "1"
    assert client.model("tiny").retiring_versions == []
    assert client.model_card("tiny").endswith("# tiny\n")
    assert client.model_card("tiny", version="1") == client.model_card("tiny")
    with pytest.raises(unroll_client.ModelNotFound) as caught:
        client.model("other")
    assert caught.value.request_id


def test_predictions_of_next_words(client: Client) -> None:
    answer = client.predict("tiny", "Tom and", top_k=3, version="1")
    assert isinstance(answer.output, NextWords)
    assert len(answer.output.predictions) == 3
    assert answer.output.observed is not None
    many = client.predict_many("tiny", ["Tom", {"ids": [3, 4]}, ["Tom", "and"]])
    assert len(many.outputs) == 3
    with pytest.raises(TypeError, match="tiny answered with NextWords"):
        client.translate("tiny", "Tom")


def test_scores(client: Client) -> None:
    score = client.score("tiny", "Tom and Mary")
    assert len(score.output.logprobs) == 3
    first, second = client.score_many("tiny", ["Tom and Mary", "Mary"]).outputs
    assert first.total_logprob == pytest.approx(score.output.total_logprob, abs=1e-4)
    assert len(second.tokens) == 1


def test_generations_streamed_or_not(client: Client) -> None:
    whole = client.generate("tiny", "Tom", max_tokens=4, temperature=0)
    with client.generate_stream("tiny", "Tom", max_tokens=4, temperature=0) as stream:
        tokens = [token.token for token in stream]
    assert tokens == whole.output.tokens
    assert stream.result is not None
    assert stream.result.output.text == whole.output.text


def test_the_life_of_a_session(client: Client) -> None:
    with client.create_session("tiny", ttl_seconds=600, kept_steps=2) as session:
        session.step("Tom and")
        looked = session.peek("Mary", top_k=2)
        stepped = session.step("Mary", top_k=2)
        assert predictions(looked) == pytest.approx(predictions(stepped), abs=1e-5)
        copy = session.fork(step=1)
        assert predictions(copy.step("Mary", top_k=2)) == pytest.approx(predictions(stepped), abs=1e-5)
        imported = client.import_state(session.export_state(), ttl_seconds=60)
        assert imported.step_count == session.step_count == 2
        assert session.renew(1200).ttl_seconds == 1200
        assert client.session(session.id).step_count == 2
        assert session.id in {item.id for item in client.list_sessions(model="tiny", limit=100).data}
        generated = session.generate(max_tokens=2, temperature=0)
        assert isinstance(generated.output, Generated)
        assert session.info().step == 3
    with pytest.raises(unroll_client.SessionEnded):
        session.step("Tom")


def predictions(result: StepResult) -> list[float]:
    assert isinstance(result.output, NextWords)
    return [item.probability for item in result.output.predictions]


def test_a_session_generates_in_a_stream_and_advances_by_it(client: Client) -> None:
    with client.create_session("tiny") as session:
        session.step("Tom")
        with session.generate_stream(commit=False, max_tokens=3, seed=1) as stream:
            preview = [token.token for token in stream]
        assert session.info().step == 1
        with session.generate_stream(max_tokens=3, seed=1) as stream:
            assert [token.token for token in stream] == preview
        assert session.step_count == session.info().step == 2


def test_a_conflict_tells_the_step_of_the_service_and_resync_takes_it_over(client: Client) -> None:
    session = client.create_session("tiny")
    other = client.session(session.id)
    other.step("Tom")
    with pytest.raises(unroll_client.StepConflict) as caught:
        session.step("Mary")
    assert (caught.value.step, caught.value.applied) == (1, "no")
    session.resync()
    assert session.step("Mary").step == 2


def test_a_reset_is_a_step_back_to_the_beginning(client: Client) -> None:
    session = client.create_session("tiny")
    first = session.step("Tom", top_k=2)
    info = session.reset()
    assert (info.step, info.timesteps, session.step_count) == (2, session.timesteps, 2)
    assert predictions(session.step("Tom", top_k=2)) == pytest.approx(predictions(first), abs=1e-5)


def test_a_reset_that_was_pending_is_recovered(client: Client) -> None:
    session = client.create_session("tiny")
    session.step("Tom")
    session.begin("reset", {})
    resumed = client.resume(session.save())
    assert [answer.step for answer in resumed.recovered] == [2]
    assert client.resume(session.save()).step_count == 2


def test_creation_with_a_key_finds_the_same_session(client: Client) -> None:
    first, second = (client.create_session("tiny", idempotency_key="key-1") for _ in range(2))
    assert first.id == second.id


def test_a_session_saved_before_a_crash_is_resumed(client: Client, tmp_path: Path) -> None:
    session = client.create_session("tiny", save_to=tmp_path / "session.json")
    session.step("Tom")
    session.step("and")
    resumed = client.resume(tmp_path / "session.json")
    assert resumed.step_count == 2
    assert [answer.step for answer in resumed.recovered] == [2]
    saved = json.loads(json.dumps(resumed.save()))
    assert client.resume(saved).step_count == 2
    with pytest.raises(ValueError, match="expected id, model and step"):
        client.resume({"id": 3})


def test_sessions_of_translators(client: Client) -> None:
    session = client.create_session("mt", input="Tom")
    assert isinstance(session.peek().output, Suggestions)
    assert client.translate("mt", "Tom", beam_size=2, alternatives=1).text is not None


def test_a_vector_is_sent_alone_beside_text_and_with_a_new_session(client: Client) -> None:
    vector = np.linspace(-1, 1, 6, dtype=np.float32)
    assert client.model("captions").vector_size == 6
    text = "the dog"
    beside = client.predict("captions", text, vector=vector).output
    session = client.create_session("captions", vector=[*map(float, vector)])
    assert isinstance(beside, NextWords)
    stepped = session.step(text).output
    assert isinstance(stepped, NextWords)
    assert [token.token for token in stepped.predictions] == [token.token for token in beside.predictions]
    assert client.score("captions", text, vector=vector).output.tokens == text.split()
    written = client.generate("captions", vector=vector, temperature=0, max_tokens=4).output
    with client.generate_stream("captions", vector=vector, temperature=0, max_tokens=4) as stream:
        assert [token.token for token in stream] == list(written.tokens)
    with pytest.raises(unroll_client.InvalidRequest, match=r"input\.vector is missing: expected 6 numbers"):
        client.create_session("captions")
    with pytest.raises(ValueError, match="neither an input nor a vector"):
        client.predict("captions")
    with pytest.raises(ValueError, match="several dimensions"):
        client.predict("captions", vector=vector[None])


def test_forecasts_of_numbers_arrays_and_tables_are_the_same(client: Client) -> None:
    values = [1.0, 2.0, None, 4.0, 5.0]
    times = pd.date_range(START, periods=5, freq="h")
    series = pd.Series(values, index=times)
    forecasts = [
        client.forecast("sensor", values, timestamps={"start": START, "step_seconds": 3600}, horizon=3),
        client.forecast("sensor", np.array([1, 2, np.nan, 4, 5]), timestamps=times, horizon=3),
        client.forecast("sensor", series, horizon=3),
        client.forecast("sensor", series.tz_localize(None), horizon=3),
        client.forecast("sensor", series.to_frame(), horizon=3),
    ]
    first = forecasts[0]
    for forecast in forecasts:
        assert forecast.to_numpy().reshape(-1) == pytest.approx(first.to_numpy().reshape(-1), abs=1e-4)
    frame = first.to_pandas()
    assert list(frame.columns) == ["mean", 0.1, 0.5, 0.9]
    assert len(frame) == 3


def test_forecasts_with_times_and_several_features_become_tables() -> None:
    rows = [[1.0, 2.0], [3.0, 4.0]]
    times = [datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in (0, 1)]
    forecast = Forecast(2, ["x", "y"], rows, {"0.5": rows}, None, timestamps=times)
    frame = forecast.to_pandas()
    assert list(frame.columns) == [("x", "mean"), ("x", 0.5), ("y", "mean"), ("y", 0.5)]
    assert list(frame["y"]["mean"]) == [2.0, 4.0]
    assert frame.index[1] == pd.Timestamp(times[1])
    assert forecast.to_numpy().shape == (2, 2)


def test_a_pool_steps_its_sessions_and_names_what_is_wrong_with_one(client: Client) -> None:
    pool = client.pool({name: client.create_session("tiny") for name in "abc"})
    found = pool.step({"a": "Tom", "b": "Mary", "c": "you"})
    assert {name: type(item) for name, item in found.items()} == dict.fromkeys("abc", StepResult)
    found = pool.step({"a": "Tom", "b": {"text": 5}, "c": "you"})
    assert isinstance(found["b"], unroll_client.InvalidRequest)
    assert [session.step_count for session in pool.values()] == [2, 1, 2]


@pytest.mark.parametrize("window", [1, 3, 32])
def test_a_stream_of_steps_gives_the_answers_in_order(client: Client, window: int) -> None:
    texts = ["Tom and", "Mary", "like", "you", "."]
    session, single = client.create_session("tiny"), client.create_session("tiny")
    with session.stream(window=window) as stream:
        answers = list(stream.steps(texts, top_k=2))
    for answer, text in zip(answers, texts, strict=True):
        assert isinstance(answer, StepResult)
        assert predictions(answer) == pytest.approx(predictions(single.step(text, top_k=2)), abs=1e-4)
    assert session.step("Tom").step == len(texts) + 1


def test_a_step_that_fails_ends_those_behind_it_and_the_session_goes_on(client: Client) -> None:
    session = client.create_session("tiny")
    with session.stream() as stream:
        for text in ["Tom", "", "Mary"]:
            stream.send(text)
        first = stream.receive()
        assert first.step == 1
        with pytest.raises(unroll_client.InvalidRequest) as caught:
            stream.receive()
        assert caught.value.applied == "no"
        with pytest.raises(LookupError):
            stream.receive()
        stream.send("like")
        assert stream.receive().step == 2
    assert session.info().step == session.step_count == 2


def test_a_stream_holds_its_session(client: Client) -> None:
    session = client.create_session("tiny")
    with session.stream() as stream:
        stream.send("Tom")
        with pytest.raises(unroll_client.RequestPending):
            session.step("Mary")
    assert stream.receive().step == 1
    session.delete()
    with pytest.raises(unroll_client.SessionEnded), session.stream() as stream:
        stream.send("Tom")


async def test_the_asynchronous_stream_of_steps_does_the_same(service: Server) -> None:
    async with AsyncClient(service.url) as client, await client.create_session("tiny") as session:
        async with session.stream(window=4) as stream:
            found = [answer.step async for answer in stream.steps(["Tom", "and", "Mary", "like", "you"])]
        assert found == [1, 2, 3, 4, 5]


async def test_the_asynchronous_client_does_the_same(service: Server) -> None:
    async with AsyncClient(service.url) as client:
        assert len(await client.models()) == 9
        async with await client.create_session("tiny") as session:
            first = await session.step("Tom and")
            assert first.step == 1
            async with session.generate_stream(max_tokens=2, seed=1) as stream:
                assert len([token async for token in stream]) > 0
            resumed = await client.resume(session.save())
            assert resumed.step_count == 2
        pool = client.pool({str(number): await client.create_session("tiny") for number in range(3)})
        results = await pool.step(dict.fromkeys(pool, "Tom"))
        assert all(isinstance(item, StepResult) for item in results.values())
        await asyncio.gather(*[item.delete() for item in pool.values()])
