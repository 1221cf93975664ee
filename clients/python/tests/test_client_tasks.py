"""Typed answers of classification, tagging, regression, embedding and graphs of tensors."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from tests.server import Server
from unroll_client import AsyncClient, Client, Embedding, InvalidRequest, Labels, StepResult, Tags, Tensors, Values

ROWS = [[1.0, 2.0, 3.0], [4.0, None, 6.0]]
SUMS = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)


@pytest.fixture(scope="module")
def client(service: Server) -> Iterator[Client]:
    with Client(service.url) as client:
        yield client


def test_labels_of_a_text(client: Client) -> None:
    output = client.predict("mood", {"text": "I like the dog", "target": "good"}).output
    assert isinstance(output, Labels)
    assert {one.label for one in output.labels} == {"good", "bad", "neither"}
    assert sum(one.probability for one in output.labels) == pytest.approx(1, abs=1e-5)
    assert output.label == output.labels[0].label
    assert output.observed is not None
    assert output.observed.targets == 1
    two, three = client.predict_many("mood", ["I like", "the dog"], top_k=2).outputs, output.labels
    assert [len(one.labels) for one in two if isinstance(one, Labels)] == [2, 2]
    assert len(three) == 3


def test_tags_of_each_row(client: Client) -> None:
    with client.create_session("tags") as session:
        answers = [session.step(row).output for row in (ROWS, np.array([[1.0, np.nan, 2.0]]))]
    assert [len(one.tags) for one in answers if isinstance(one, Tags)] == [2, 1]
    assert isinstance(answers[0], Tags)
    assert answers[0].tags[0].token is None
    assert answers[0].observed is None


def test_numbers_by_name_as_arrays_and_tables(client: Client) -> None:
    target = np.array([[10.0, 2.0], [np.nan, 2.5]])
    output = client.predict("river", {"values": ROWS, "target": target}).output
    assert isinstance(output, Values)
    assert output.names == ["flow", "level"]
    assert output.to_numpy().shape == (2, 2)
    assert list(output.to_pandas().columns) == ["flow", "level"]
    assert output.observed is not None
    errors = np.abs(output.to_numpy() - target)
    assert output.observed.mean_absolute_error == pytest.approx(np.nanmean(errors), rel=1e-3)
    last = client.predict("river", pd.DataFrame(ROWS), every="last").output
    assert isinstance(last, Values)
    assert last.values == [pytest.approx(output.values[-1], abs=1e-4)]


def test_vectors(client: Client) -> None:
    output = client.predict("vectors", "I like the dog").output
    assert isinstance(output, Embedding)
    each = client.predict("vectors", "I like the dog", every="step").output
    assert isinstance(each, Embedding)
    assert each.to_numpy().shape == (4, *output.to_numpy().shape)


def test_tensors_are_arrays_on_both_sides(client: Client) -> None:
    with client.create_session("sum") as session:
        first = session.step({"tensors": {"x": SUMS[0]}})
        rest = session.step({"tensors": {"x": SUMS}, "steps": True})
        with pytest.raises(InvalidRequest):
            session.step({"tensors": {"x": np.array([1.0, np.nan])}})
    assert isinstance(first.output, Tensors)
    assert isinstance(rest.output, Tensors)
    assert first.output.tensors == {"y": [2.0, 4.0]}
    assert np.array_equal(rest.output.to_numpy()["y"], 2 * np.cumsum([SUMS[0], *SUMS], 0)[1:])


def test_a_stream_and_a_pool_of_tensors(client: Client) -> None:
    session = client.create_session("sum")
    with session.stream(window=4) as stream:
        answers = list(stream.steps([{"tensors": {"x": SUMS}, "steps": True}] * 3))
    outputs = [answer.output for answer in answers if isinstance(answer, StepResult)]
    assert [one.tensors["y"][-1] for one in outputs if isinstance(one, Tensors)] == [[8, 12], [16, 24], [24, 36]]
    pool = client.pool({"own": session, "other": client.create_session("mood")})
    found = pool.step({"own": {"tensors": {"x": [0, 0]}}, "other": "I like"})
    kinds = {name: type(one.output) for name, one in found.items() if isinstance(one, StepResult)}
    assert kinds == {"own": Tensors, "other": Labels}


async def test_the_asynchronous_client_has_the_same_types(service: Server) -> None:
    async with AsyncClient(service.url) as client, await client.create_session("river") as session:
        answer = await session.step(ROWS)
        assert isinstance(answer.output, Values)
        assert isinstance((await client.predict("mood", "I like")).output, Labels)
