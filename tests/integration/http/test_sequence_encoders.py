"""Classification, tagging, regression and embedding over HTTP, with small networks of random weights."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.encoder_folders import LABELS, rows_of, write_encoder
from tests.folders import write_language_model
from tests.forecast_folders import write_forecaster
from tests.metrics import Metrics
from tests.server import Body, Server, answered, new_session, post, refusal, short_folder

TEXT = "I like the big dog . Tom and Mary go home to see the small cat"
WORDS = TEXT.split()
ROWS = rows_of(12)
NOON = "2024-05-01T12:00:00Z"


@pytest.fixture(scope="module")
def encoders() -> Iterator[Server]:
    with short_folder() as folder:
        models = folder / "models"
        write_encoder(models, "mood", "classification", readout="attention")
        write_encoder(models, "activity", "classification", text=False, readout="mean", cell="lstm")
        write_encoder(models, "tags", "tagging")
        write_encoder(models, "entities", "tagging", bidirectional=True, crf=True)
        write_encoder(models, "river", "regression", text=False)
        write_encoder(models, "vectors", "embedding")
        write_forecaster(models, "sensor")
        write_language_model(models, "words")
        with Server(folder, models=models, workers=2) as server:
            yield server


@pytest.fixture(scope="module")
def http(encoders: Server) -> Iterator[httpx.Client]:
    with encoders.client() as client:
        yield client


def predict(http: httpx.Client, model: str, own: Body, **options: Any) -> Body:
    body = {"input": own, **({"options": options} if options else {})}
    output: Body = answered(post(http, f"/v1/models/{model}/predict", body))["output"]
    return output


def step(http: httpx.Client, session: str, own: Body, **fields: Any) -> Body:
    return answered(post(http, f"/v1/sessions/{session}/steps", {"input": own, **fields}))


def close(found: Any, expected: Any) -> None:
    """Both are the same but for rounding."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name in expected:
            close(found[name], expected[name])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            close(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=4e-5)
    else:
        assert found == expected


@pytest.mark.parametrize("cut", [[16], [1] * 16, [5, 11]])
@pytest.mark.parametrize("model", ["mood", "vectors"])
def test_a_session_over_text_answers_of_all_that_it_has_read(http: httpx.Client, model: str, cut: list[int]) -> None:
    session, start, output = new_session(http, model=model), 0, {}
    for length in cut:
        output = step(http, session, {"text": " ".join(WORDS[start : start + length])})["output"]
        start += length
    close(output, predict(http, model, {"text": TEXT}))


@pytest.mark.parametrize("cut", [[12], [1] * 12, [5, 7]])
def test_a_session_over_numbers_answers_of_all_that_it_has_read(http: httpx.Client, cut: list[int]) -> None:
    session, river, start, values = new_session(http, model="activity"), new_session(http, model="river"), 0, []
    for length in cut:
        rows = {"values": ROWS[start : start + length]}
        output = step(http, session, rows)["output"]
        values += step(http, river, rows)["output"]["values"]
        start += length
    close(output, predict(http, "activity", {"values": ROWS}))
    close(values, predict(http, "river", {"values": ROWS})["values"])


def test_several_inputs_are_answered_each_as_if_alone(http: httpx.Client) -> None:
    texts = [TEXT, "Tom", "I see the dog"]
    body = answered(post(http, "/v1/models/entities/predict", {"inputs": [{"text": text} for text in texts]}))
    for text, output in zip(texts, body["outputs"], strict=True):
        assert [tag["token"] for tag in output["tags"]] == text.split()
        close(output, predict(http, "entities", {"text": text}))
    assert body["usage"] == {"timesteps": 16 + 1 + 4}


def test_a_session_forks_peeks_and_is_exported_and_imported(http: httpx.Client) -> None:
    session = new_session(http, model="mood")
    step(http, session, {"text": " ".join(WORDS[:6])})
    rest = {"text": " ".join(WORDS[6:])}
    expected = predict(http, "mood", {"text": TEXT})
    fork = answered(post(http, f"/v1/sessions/{session}/fork", {}), 201)["id"]
    peeked = answered(post(http, f"/v1/sessions/{session}/predict", {"input": rest}))["output"]
    file = http.get(f"/v1/sessions/{session}/state")
    headers = {"content-type": "application/octet-stream"}
    imported = answered(http.post("/v1/sessions/import", content=file.content, headers=headers), 201)["id"]
    for output in (peeked, *(step(http, own, rest)["output"] for own in (session, fork, imported))):
        close(output, expected)


@pytest.mark.parametrize("model", ["entities"])
def test_a_session_of_a_network_of_whole_sequences_is_refused(http: httpx.Client, model: str) -> None:
    error = refusal(
        post(http, "/v1/sessions", {"model": model}),
        422,
        "invalid_request",
        "model has no sessions: bidirectional is true, so the network reads a sequence from its end",
    )
    assert error["param"] == "model"


def test_targets_are_observed_and_counted(http: httpx.Client, encoders: Server) -> None:
    before = Metrics(http)
    observed = predict(http, "mood", {"text": TEXT, "target": "bad"})["observed"]
    labels = {entry["label"]: entry["probability"] for entry in predict(http, "mood", {"text": TEXT})["labels"]}
    assert 2.718281828 ** observed["mean_logprob"] == pytest.approx(labels["bad"], abs=1e-5)
    session = new_session(http, model="river")
    answer = step(http, session, {"values": ROWS[:2], "target": [[1, 2], [3, None]]})["output"]
    errors = [abs(answer["values"][0][0] - 1), abs(answer["values"][0][1] - 2), abs(answer["values"][1][0] - 3)]
    assert answer["observed"]["mean_absolute_error"] == pytest.approx(sum(errors) / 3, rel=1e-5)
    tags = predict(http, "tags", {"tokens": ["the", "dog"], "target": ["good", "bad"]})["observed"]
    assert tags["targets"] == 2
    after = Metrics(http)

    def grown(name: str, model: str) -> float:
        labels = {"model": model, "version": "1"}
        return after.value(name, **labels) - before.value(name, **labels)

    assert grown("observed_tokens_total", "mood") == 1
    assert grown("observed_logprob_total", "mood") == pytest.approx(-observed["mean_logprob"], rel=1e-4)
    assert grown("observed_values_total", "river") == 3
    assert grown("observed_absolute_error_total", "river") == pytest.approx(sum(errors), rel=1e-4)


@pytest.mark.parametrize(
    ("model", "own", "options", "param", "message"),
    [
        ("mood", {"text": TEXT, "target": "worse"}, {}, "input.target", "expected a label of the model (good, bad"),
        ("mood", {"values": [1]}, {}, "input.values", "expected text"),
        ("mood", {"text": TEXT}, {"every": "step"}, "options.every", "expected it to be left out"),
        ("mood", {"text": TEXT}, {"top_k": 0}, "options.top_k", "greater than or equal to 1"),
        ("river", {"values": [[1, 2]]}, {}, "input.values[0]", "expected 3 (rain, heat, wind)"),
        (
            "river",
            {"values": ROWS, "timestamps": {"start": NOON, "step_seconds": 1}},
            {},
            "input.timestamps",
            "expected none",
        ),
        ("river", {"values": ROWS, "target": "x"}, {}, "input.target", "expected 12 rows"),
        ("tags", {"text": TEXT, "target": ["good"]}, {}, "input.target", "expected 16, one for each timestep"),
        ("vectors", {"text": TEXT, "target": "good"}, {}, "input.target", "nothing can be compared"),
        ("vectors", {"text": TEXT}, {"every": "word"}, "options.every", "'step' or 'last'"),
        ("sensor", {"values": [1, 2], "target": 3}, {}, "input.target", "compared with the rows that follow"),
        ("words", {"text": "the dog", "target": 3}, {}, "input.target", "expected it of translation models"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    http: httpx.Client, model: str, own: Body, options: Body, param: str, message: str
) -> None:
    body = {"input": own, **({"options": options} if options else {})}
    error = refusal(post(http, f"/v1/models/{model}/predict", body), 422, "invalid_request", message)
    assert error["param"] == param


def test_generation_and_scores_are_refused(http: httpx.Client) -> None:
    for call in ("score", "generate"):
        refusal(post(http, f"/v1/models/mood/{call}", {"input": {"text": TEXT}}), 422, "invalid_request", "the model")


def infer(http: httpx.Client, model: str, inputs: list[Body], **parameters: Any) -> dict[str, Body]:
    body = answered(post(http, f"/v2/models/{model}/infer", {"inputs": inputs, "parameters": parameters}))
    return {tensor["name"]: tensor for tensor in body["outputs"]}


def texts(*rows: str) -> list[Body]:
    return [{"name": "TEXT", "datatype": "BYTES", "shape": [len(rows), 1], "data": [*rows]}]


def values(*batch: list[list[float | None]]) -> list[Body]:
    flat = [0.0 if value is None else value for rows in batch for row in rows for value in row]
    return [{"name": "VALUES", "datatype": "FP32", "shape": [len(batch), len(batch[0]), 3], "data": flat}]


def test_tensors_hold_what_the_native_answers_say(http: httpx.Client) -> None:
    tensors = infer(http, "mood", texts(TEXT, "Tom"), top_k=2)
    native = predict(http, "mood", {"text": TEXT})["labels"]
    by_label = {entry["label"]: entry["probability"] for entry in native}
    assert tensors["PROBABILITIES"]["shape"] == [2, 3]
    assert tensors["PROBABILITIES"]["data"][:3] == pytest.approx([by_label[label] for label in LABELS], abs=1e-5)
    assert tensors["LABELS"]["data"][:2] == [entry["label"] for entry in native[:2]]
    tags = infer(http, "entities", texts(TEXT, "Tom"))
    assert tags["LABELS"]["shape"] == [2, 16]
    expected = [tag["tag"] for tag in predict(http, "entities", {"text": "Tom"})["tags"]]
    assert tags["LABELS"]["data"][16:] == [*expected, *[""] * 15]
    rows = [[float(value or 0) for value in row] for row in ROWS[:4]]
    own = infer(http, "river", values(rows))["VALUES"]
    close([own["data"][at : at + 2] for at in range(0, 8, 2)], predict(http, "river", {"values": rows})["values"])
    assert infer(http, "vectors", texts(TEXT))["EMBEDDING"]["shape"] == [1, 1, 12]


def test_a_sequence_of_the_protocol_is_a_session(http: httpx.Client) -> None:
    infer(http, "mood", texts(" ".join(WORDS[:6])), sequence_id=7, sequence_start=True)
    found = infer(http, "mood", texts(" ".join(WORDS[6:])), sequence_id=7, sequence_end=True)["PROBABILITIES"]["data"]
    by_label = {entry["label"]: entry["probability"] for entry in predict(http, "mood", {"text": TEXT})["labels"]}
    assert found == pytest.approx([by_label[label] for label in LABELS], abs=1e-5)


def test_models_tell_their_task(http: httpx.Client) -> None:
    tasks = {model["id"]: (model["task"], model["verified"]) for model in http.get("/v1/models").json()["data"]}
    assert tasks["mood"] == ("classification", True)
    assert tasks["entities"] == ("tagging", True)
    assert tasks["river"] == ("regression", True)
    assert tasks["vectors"] == ("embedding", True)
