"""Graphs with declared state over HTTP: sessions at any cut, copies, several at once, the protocols, and refusals."""

import json
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from onnx import helper
from safetensors.torch import load

from tests.onnx_folders import (
    Stream,
    copy_version,
    graph,
    running_sum,
    running_sum_config,
    value,
    write_onnx,
    write_stream,
    write_stream_task,
)
from tests.server import Body, Server, answered, look_up, new_session, post, refusal, short_folder
from tests.sockets import open_socket, received, send, stream_of
from tests.state_files import with_metadata, with_tensors

FRAMES = torch.randn(20, 3, generator=torch.Generator().manual_seed(4)).double().numpy()
#: 20 frames in one piece, frame by frame, and in uneven pieces.
CUTS = [[20], [1] * 20, [7, 1, 12]]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


@pytest.fixture(scope="module")
def trainer(folder: Path) -> Stream:
    models = folder / "models"
    trainer = write_stream(models)
    write_onnx(models, "sum", running_sum(), running_sum_config())
    write_onnx(models, "alone", running_sum(1), running_sum_config(1))
    write_onnx(models, "window", overlapping(), OVERLAPPING)
    write_onnx(models, "log", logarithm(), {**running_sum_config(), "state": []})
    write_stream_task(models, "flow", "regression")
    write_stream(models, "pair", seed=1)
    copy_version(models, "pair", "1", "2")
    write_stream(models, "pair", "3", seed=3)
    return trainer


def overlapping() -> Any:
    """The sum of six numbers, two of them those that the input before ended with."""
    node = helper.make_node("ReduceSum", ["x", "axis"], ["y"], keepdims=1)
    return graph([node], [value("x", ["batch", 6])], [value("y", ["batch", 1])], {"axis": np.array([1])})


OVERLAPPING = {
    "format_version": 1,
    "task": "tensor",
    "architecture": "onnx",
    "inputs": [{"name": "x", "dtype": "float32", "shape": ["batch", 4], "overlap": 2}],
    "outputs": [{"name": "y", "dtype": "float32", "shape": ["batch", 1]}],
    "state": [],
}


def logarithm() -> Any:
    return graph([helper.make_node("Log", ["x"], ["y"])], [value("x", ["batch", 2])], [value("y", ["batch", 2])])


@pytest.fixture(scope="module")
def server(folder: Path, trainer: Stream) -> Iterator[Server]:
    with Server(folder, models=folder / "models", workers=2) as running:
        yield running


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def feed(http: httpx.Client, session: str, name: str, value: Any, **fields: Any) -> Body:
    body = {"input": {"tensors": {name: value}, **fields}}
    return answered(post(http, f"/v1/sessions/{session}/steps", body))


def output(answer: Body, name: str) -> Any:
    return answer["output"]["tensors"][name]


def expected(trainer: Stream, frames: Any = FRAMES) -> list[float]:
    with torch.no_grad():
        return trainer(torch.tensor(frames).float()[None])[0][0, :, 0].tolist()


def probabilities(http: httpx.Client, session: str, frames: Any, cuts: Sequence[int]) -> list[float]:
    found: list[float] = []
    for piece in np.split(frames, np.cumsum(cuts)[:-1]):
        found += [row[0] for row in output(feed(http, session, "frame", piece.tolist(), steps=True), "probability")]
    return found


def test_a_prediction_without_a_session_begins_with_the_initial_state(http: httpx.Client, trainer: Stream) -> None:
    body = {"input": {"tensors": {"frame": FRAMES.tolist()}, "steps": True}}
    answer = answered(post(http, "/v1/models/stream/predict", body))
    assert [row[0] for row in output(answer, "probability")] == pytest.approx(expected(trainer), abs=1e-5)
    assert answer["usage"] == {"timesteps": 20}


@pytest.mark.parametrize("cuts", CUTS, ids=str)
def test_a_session_goes_on_exactly_at_any_cut(http: httpx.Client, trainer: Stream, cuts: list[int]) -> None:
    session = new_session(http, "stream")
    assert probabilities(http, session, FRAMES, cuts) == pytest.approx(expected(trainer), abs=1e-5)
    assert look_up(http, session)["timesteps"] == 20


@pytest.mark.parametrize(("given", "answer"), [([1, 2], [2.0, 4.0]), ([[1, 2]], [[2.0, 4.0]])])
@pytest.mark.parametrize("model", ["sum", "alone"])
def test_answers_have_the_batch_axis_if_the_input_had_it(
    http: httpx.Client, model: str, given: Any, answer: Any
) -> None:
    session = new_session(http, model)
    assert output(feed(http, session, "x", given), "y") == answer
    twice = np.array(answer) * np.array([[2], [3]]).reshape(2, *[1] * np.array(answer).ndim)
    assert output(feed(http, session, "x", [given, given], steps=True), "y") == twice.tolist()


def test_a_look_does_not_advance(http: httpx.Client) -> None:
    session = new_session(http, "sum")
    feed(http, session, "x", [1, 1])
    look = {"input": {"tensors": {"x": [10, 10]}}}
    for _ in range(2):
        assert output(answered(post(http, f"/v1/sessions/{session}/predict", look)), "y") == [22.0, 22.0]
    assert output(feed(http, session, "x", [1, 1]), "y") == [4.0, 4.0]


def test_a_fork_and_a_reset_go_on_from_their_states(http: httpx.Client) -> None:
    session = new_session(http, "sum")
    feed(http, session, "x", [1, 2])
    fork = answered(post(http, f"/v1/sessions/{session}/fork", {}), 201)["id"]
    feed(http, session, "x", [100, 100])
    assert output(feed(http, fork, "x", [1, 1]), "y") == [4.0, 6.0]
    answered(post(http, f"/v1/sessions/{session}/reset", {}))
    assert output(feed(http, session, "x", [1, 1]), "y") == [2.0, 2.0]


def test_an_overlap_is_kept_between_steps(http: httpx.Client) -> None:
    session = new_session(http, "window")
    found = [output(feed(http, session, "x", numbers), "y") for numbers in ([1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 0, 0])]
    assert found == [[10.0], [33.0], [15.0]]
    state = load(http.get(f"/v1/sessions/{session}/state").content)
    assert {name: tensor.tolist() for name, tensor in state.items()} == {"overlap.x": [0.0, 0.0]}


@pytest.mark.parametrize("cut", [1, 9])
def test_an_exported_state_goes_on_in_another_session(http: httpx.Client, trainer: Stream, cut: int) -> None:
    session = new_session(http, "stream")
    probabilities(http, session, FRAMES[:cut], [cut])
    content = http.get(f"/v1/sessions/{session}/state").content
    assert {name: tensor.shape for name, tensor in load(content).items()} == {"h": (2, 5), "c": (2, 5)}
    octets = {"Content-Type": "application/octet-stream"}
    imported = answered(http.post("/v1/sessions/import", content=content, headers=octets), 201)["id"]
    rest = probabilities(http, imported, FRAMES[cut:], [20 - cut])
    assert rest == pytest.approx(expected(trainer)[cut:], abs=1e-5)


def test_a_graph_answers_as_the_network_of_its_task(http: httpx.Client) -> None:
    rows = [[round(5 + 3 * float(number), 3) for number in row] for row in FRAMES[:6]]

    def values(answer: Body) -> list[float]:
        return [row[0] for row in answer["output"]["values"]]

    def advance(session: str, piece: list[list[float]], **fields: Any) -> list[float]:
        body = {"input": {"values": piece, **fields}}
        return values(answered(post(http, f"/v1/sessions/{session}/steps", body)))

    whole = values(answered(post(http, "/v1/models/flow/predict", {"input": {"values": rows}})))
    session = new_session(http, "flow")
    assert advance(session, rows[:2]) == pytest.approx(whole[:2], abs=1e-5)
    look = {"input": {"values": rows[2:3], "target": 11.5}}
    looked = answered(post(http, f"/v1/sessions/{session}/predict", look))
    assert looked["output"]["observed"]["mean_absolute_error"] == pytest.approx(abs(whole[2] - 11.5), abs=1e-5)
    fork = answered(post(http, f"/v1/sessions/{session}/fork", {}), 201)["id"]
    octets = {"Content-Type": "application/octet-stream"}
    content = http.get(f"/v1/sessions/{session}/state").content
    imported = answered(http.post("/v1/sessions/import", content=content, headers=octets), 201)["id"]
    for own in (session, fork, imported):
        assert advance(own, rows[2:]) == pytest.approx(whole[2:], abs=1e-5)
    given = {"name": "VALUES", "datatype": "FP32", "shape": [1, 6, 3], "data": np.ravel(rows).tolist()}
    (inferred,) = answered(post(http, "/v2/models/flow/infer", {"inputs": [given]}))["outputs"]
    assert (inferred["name"], inferred["shape"]) == ("VALUES", [1, 6, 1])
    assert inferred["data"] == pytest.approx(whole, abs=1e-4)
    error = refusal(post(http, "/v1/models/flow/predict", {"input": {"text": "a"}}), 422, "invalid_request")
    assert error["param"] == "input.text"


def test_a_state_is_never_fed_to_another_graph(http: httpx.Client) -> None:
    session = new_session(http, "pair", version="1")
    feed(http, session, "frame", [1, 2, 3])
    content = http.get(f"/v1/sessions/{session}/state").content
    octets = {"Content-Type": "application/octet-stream"}
    answered(http.post("/v1/sessions/import", content=content, headers=octets), 201)
    foreign = with_metadata(content, fingerprint=f"sha256:{'ab' * 32}")
    refusal(http.post("/v1/sessions/import", content=foreign, headers=octets), 410, "model_version_gone", "abab")
    wide = with_tensors(content, h=np.zeros((2, 6), np.float32))
    refusal(http.post("/v1/sessions/import", content=wide, headers=octets), 422, "invalid_request", "tensors.h")


def test_many_sessions_at_once_answer_as_if_alone(http: httpx.Client, trainer: Stream) -> None:
    sessions = [new_session(http, "stream") for _ in range(12)]
    series = torch.randn(12, 6, 3, generator=torch.Generator().manual_seed(9)).double().numpy()
    found = np.zeros((12, 6))
    for step in range(6):
        steps = [
            {"session_id": session, "input": {"tensors": {"frame": series[index, step].tolist()}}}
            for index, session in enumerate(sessions)
        ]
        results = answered(post(http, "/v1/sessions/steps", {"steps": steps}))["results"]
        found[:, step] = [output(result, "probability")[0] for result in results]
    assert found == pytest.approx(np.array([expected(trainer, own) for own in series]), abs=1e-5)


def test_frames_over_a_websocket_are_answered_in_order(server: Server, http: httpx.Client, trainer: Stream) -> None:
    session = new_session(http, "stream")
    with open_socket(server, stream_of(session)) as socket:
        send(
            socket,
            *({"input": {"tensors": {"frame": frame.tolist()}}, "step": step} for step, frame in enumerate(FRAMES)),
        )
        answers = received(socket, 20)
    assert [output(answer, "probability")[0] for answer in answers] == pytest.approx(expected(trainer), abs=1e-5)


def test_a_repeated_step_is_replayed(http: httpx.Client) -> None:
    session = new_session(http, "sum")
    body = {"input": {"tensors": {"x": [0.1, 0.2]}}, "step": 0}
    first, second = (post(http, f"/v1/sessions/{session}/steps", body) for _ in range(2))
    assert (first.content, second.headers["unroll-replayed"]) == (second.content, "true")


def binary(http: httpx.Client, model: str, array: Any, **parameters: Any) -> Any:
    """The first output of an inference with one input, both in binary."""
    data = np.asarray(array, np.float32)
    tensor = {
        "name": "x",
        "shape": [*data.shape],
        "datatype": "FP32",
        "parameters": {"binary_data_size": data.nbytes},
    }
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True, **parameters}}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    response = http.post(f"/v2/models/{model}/infer", content=head + data.tobytes(), headers=headers)
    assert response.status_code == 200, response.text
    size = int(response.headers["Inference-Header-Content-Length"])
    (tensor,) = json.loads(response.content[:size])["outputs"]
    count = len(response.content[size:]) // 4
    numbers = struct.unpack(f"<{count}f", response.content[size:])
    return np.array(numbers).reshape(tensor["shape"])  # type: ignore[arg-type]


def test_the_open_inference_protocol_has_the_tensors_of_the_graph(http: httpx.Client) -> None:
    metadata = answered(http.get("/v2/models/sum"))
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]
    assert metadata["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}]
    assert "sequence_batching" in answered(http.get("/v2/models/sum/config"))
    assert binary(http, "sum", [[1, 2], [3, 4]]).tolist() == [[2, 4], [6, 8]]
    assert binary(http, "alone", [[1, 2]]).tolist() == [[2, 4]]


def test_a_sequence_of_tensors_is_a_session(http: httpx.Client) -> None:
    start = binary(http, "sum", [[1, 2]], sequence_id=7, sequence_start=True)
    steps = binary(http, "sum", [[1, 1], [1, 1]], sequence_id=7, sequence_end=True, steps=True)
    assert (start.tolist(), steps.tolist()) == ([[2, 4]], [[4, 6], [6, 8]])


def test_a_graph_that_runs_alone_says_so(http: httpx.Client) -> None:
    models = {model["id"]: model for model in answered(http.get("/v1/models"))["data"]}
    assert "one at a time" in models["alone"]["description"]
    assert (models["stream"]["task"], models["stream"]["verified"], models["stream"]["state_bytes"]) == (
        "tensor",
        True,
        80,
    )


@pytest.mark.parametrize(
    ("model", "given", "param", "mention"),
    [
        ("sum", {"tensors": {"x": [1, 2, 3]}}, "input.tensors.x", "expected [1, 2] or [2]"),
        ("sum", {"tensors": {"z": [1, 2]}}, "input.tensors.x", "is missing"),
        ("sum", {"tensors": {"x": [[1, 2], [1]]}}, "input.tensors.x", "lists of 2"),
        ("sum", {"text": "a"}, "input.text", "expected input.tensors"),
        ("sum", {"values": [1]}, "input.values", "expected input.tensors"),
        ("log", {"tensors": {"x": [1, 0]}}, "input.tensors", "holds a number that is not finite"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_and_not_applied(
    http: httpx.Client, model: str, given: Body, param: str, mention: str
) -> None:
    session = new_session(http, model)
    response = post(http, f"/v1/sessions/{session}/steps", {"input": given})
    assert refusal(response, 422, "invalid_request", mention)["param"] == param
    assert look_up(http, session)["step"] == 0


def test_one_wrong_input_does_not_fail_the_others_of_its_batch(http: httpx.Client) -> None:
    inputs = [{"tensors": {"x": [number, 1]}} for number in (1, 2)]
    answered(post(http, "/v1/models/log/predict", {"inputs": inputs}))
    sessions = [new_session(http, "log") for _ in range(3)]
    steps = [
        {"session_id": session, "input": {"tensors": {"x": [number, 1]}}}
        for session, number in zip(sessions, (1, 0, 1), strict=True)
    ]
    results = answered(post(http, "/v1/sessions/steps", {"steps": steps}))["results"]
    assert ["error" in result for result in results] == [False, True, False]


def test_calls_for_text_are_refused(http: httpx.Client) -> None:
    body = {"input": {"tensors": {"x": [1, 2]}}}
    refusal(post(http, "/v1/models/sum/score", body), 422, "invalid_request", "expected predict or a step")
    refusal(post(http, "/v1/models/sum/generate", body), 422, "invalid_request", "expected predict or a step")
    refusal(post(http, "/v1/sessions", {"model": "sum", **body}), 422, "invalid_request", "input is given")
