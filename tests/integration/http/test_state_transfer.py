"""Copies of sessions over HTTP, in a file or as a fork: they go on exactly, on networks of every task and cell."""

import random
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from safetensors.torch import load, load_file
from torch import Tensor, nn

from tests.folders import WORDS, write_language_model
from tests.forecast_folders import write_forecaster
from tests.rounding import LOGIT, PROBABILITY
from tests.server import (
    ROOT,
    Body,
    Server,
    answered,
    eventually,
    look_up,
    new_session,
    post,
    refusal,
    short_folder,
    step,
)
from tests.state_files import metadata_of, mutated, put_together, with_metadata, with_tensors
from tests.translation_folders import write_encoder_decoder

OCTETS = "application/octet-stream"
IMPORT = "/v1/sessions/import"
MAX_BODY_BYTES = 65_536
KEYS = {"alice": "key-of-alice", "bob": "key-of-bob"}
SOURCE = {"text": "I am hungry."}
FRENCH = ["J'ai", "faim", ".", "Il va"]
MODELS = ["lstm", "gru", "tanh", "relu", "recent", "mt", "sensor", "walk", "day"]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


@pytest.fixture(scope="module")
def models_folder(folder: Path) -> Path:
    models = folder / "models"
    write_language_model(models, "lstm", num_layers=3, hidden_size=24)
    write_language_model(models, "gru", cell="gru", hidden_size=[12, 8, 20])
    write_language_model(models, "tanh", cell="rnn_tanh")
    write_language_model(models, "relu", cell="rnn_relu", num_layers=1)
    write_language_model(models, "recent", window=5)
    write_encoder_decoder(models, "mt")
    write_forecaster(models, "sensor", num_layers=2, season=3, calendar=["hour_of_day"], missing_indicator=True)
    write_forecaster(models, "walk", cell="gru", decoding="autoregressive", distribution="student_t")
    write_forecaster(models, "day", window=4)
    # The versions of one model: 2 is 1 under another name, 3 is another network.
    write_language_model(models, "pair", seed=1)
    shutil.copytree(models / "pair" / "1", models / "pair" / "2")
    write_language_model(models, "pair", "3", seed=3)
    shutil.copytree(ROOT / "models" / "next-word", models / "next-word")
    return models


@pytest.fixture(scope="module")
def server(folder: Path, models_folder: Path) -> Iterator[Server]:
    keys = ",".join(f"{tenant}:{key}" for tenant, key in KEYS.items())
    settings = {"api_keys": keys, "max_body_bytes": MAX_BODY_BYTES}
    with Server(folder, models=models_folder, workers=2, **settings) as running:
        yield running


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with server.client(KEYS["alice"]) as client:
        yield client


@pytest.fixture(scope="module")
def bob(server: Server) -> Iterator[httpx.Client]:
    with server.client(KEYS["bob"]) as client:
        yield client


def opened(http: httpx.Client, model: str, steps: int = 0, **fields: Any) -> str:
    """A session of the model that took so many steps."""
    session = new_session(http, model, **({"input": SOURCE} if model == "mt" else {}), **fields)
    for at in range(steps):
        advance(http, session, model, at)
    return session


def given(model: str, at: int) -> Body:
    """What a session of the model is fed at a step."""
    if model == "mt":
        return {"text": FRENCH[at % len(FRENCH)]}
    if model in {"sensor", "walk", "day"}:
        values = [100.0 + at, None if model == "sensor" else 99.0, 104.5 - at]
        times = {"start": f"2026-03-02T{2 * at:02}:30:00Z", "step_seconds": 1800}
        return {"values": values, **({"timestamps": times} if model == "sensor" else {})}
    return {"text": f"the {WORDS[10 + at % 30]}"}


def advance(http: httpx.Client, session: str, model: str, at: int, **fields: Any) -> Body:
    """Take step `at`, and return its output and where the session stands."""
    body = {"input": given(model, at), "step": at, **fields}
    answer = answered(post(http, f"/v1/sessions/{session}/steps", body))
    return {name: answer[name] for name in ("output", "step", "timesteps")}


def export(http: httpx.Client, session: str) -> bytes:
    response = http.get(f"/v1/sessions/{session}/state")
    assert response.status_code == 200, response.text
    return response.content


def bring(
    http: httpx.Client, content: Any, *, key: str | None = None, media_type: str | None = OCTETS, **query: Any
) -> httpx.Response:
    """Import a file."""
    headers = {} if key is None else {"Idempotency-Key": key}
    headers |= {} if media_type is None else {"Content-Type": media_type}
    return http.post(IMPORT, content=content, headers=headers, params=query)


def imported(http: httpx.Client, content: bytes, **fields: Any) -> str:
    return str(answered(bring(http, content, **fields), 201)["id"])


def fork(http: httpx.Client, session: str, *, key: str | None = None, **fields: Any) -> httpx.Response:
    return post(http, f"/v1/sessions/{session}/fork", fields, key=key)


# Files.


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("steps", [0, 3])
def test_an_imported_session_goes_on_as_the_exported_one_to_the_last_bit(
    http: httpx.Client, model: str, steps: int
) -> None:
    session = opened(http, model, steps)
    before = look_up(http, session)
    copy = imported(http, export(http, session))
    assert copy != session
    now = look_up(http, copy)
    same = ("model", "version", "task", "step", "timesteps", "state_bytes", "ttl_seconds", "durability")
    assert {name: now[name] for name in same} == {name: before[name] for name in same}
    for at in range(steps, steps + 2):
        assert advance(http, copy, model, at) == advance(http, session, model, at)
    files = [export(http, one) for one in (session, copy)]
    assert metadata_of(files[0]) == metadata_of(files[1])
    one, other = map(load, files)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_an_export_is_a_file_with_a_name_that_tells_whose_state_it_is(http: httpx.Client) -> None:
    session = opened(http, "lstm", 2)
    before = look_up(http, session)
    response = http.get(f"/v1/sessions/{session}/state")
    assert response.headers["content-type"] == OCTETS
    assert response.headers["content-disposition"] == f'attachment; filename="{session}-step-2.safetensors"'
    version = answered(http.get("/v1/models/lstm"))
    assert metadata_of(response.content) == {
        "format_version": "1", "model": "lstm", "version": "1", "task": "next-word", "dtype": version["dtype"],
        "fingerprint": version["fingerprint"], "step": "2", "timesteps": "4",
    }  # fmt: skip
    shapes = {name: [*tensor.shape] for name, tensor in load(response.content).items()}
    layers = {f"{kind}_l{layer}": [24] for kind in "hc" for layer in range(3)}
    assert shapes == {**layers, "log_normaliser": [1]}
    assert look_up(http, session) == before


def test_an_import_has_a_life_of_its_own(http: httpx.Client) -> None:
    session = opened(http, "lstm", 2, ttl_seconds=100)
    response = bring(http, export(http, session), ttl_seconds=77, durability="fsynced", kept_steps=2)
    copy = answered(response, 201)
    assert response.headers["location"] == f"/v1/sessions/{copy['id']}"
    assert "unroll-replayed" not in response.headers
    assert (copy["ttl_seconds"], copy["durability"]) == (77, "fsynced")
    assert copy["created_at"] > look_up(http, session)["created_at"]
    http.delete(f"/v1/sessions/{session}")
    advance(http, copy["id"], "lstm", 2)
    assert answered(fork(http, copy["id"], step=2), 201)["step"] == 2
    refusal(fork(http, copy["id"], step=1), 422, "invalid_request", "[2, 3]")
    assert copy["id"] in {one["id"] for one in answered(http.get("/v1/sessions"))["data"]}


def test_an_import_knows_no_keys_and_no_answers_of_the_exported_session(http: httpx.Client) -> None:
    session = new_session(http, "lstm")
    answered(step(http, session, "the", key="k1"))
    copy = imported(http, export(http, session))
    response = step(http, copy, "the", key="k1")
    assert answered(response)["step"] == 2
    assert "unroll-replayed" not in response.headers
    assert refusal(step(http, copy, "the", step=0), 409, "step_conflict")["step"] == 2


def test_an_expired_session_can_be_brought_back_from_its_file(http: httpx.Client) -> None:
    session = opened(http, "lstm", 1, ttl_seconds=1)
    content = export(http, session)
    eventually(lambda: http.get(f"/v1/sessions/{session}/state").status_code == 410)
    refusal(http.get(f"/v1/sessions/{session}/state"), 410, "session_expired")
    assert advance(http, imported(http, content), "lstm", 1)["step"] == 2


def test_a_file_belongs_to_whoever_has_it_and_a_session_to_its_tenant(http: httpx.Client, bob: httpx.Client) -> None:
    session = opened(http, "lstm", 1)
    refusal(bob.get(f"/v1/sessions/{session}/state"), 404, "session_not_found")
    copy = imported(bob, export(http, session))
    assert look_up(bob, copy)["step"] == 1
    refusal(http.get(f"/v1/sessions/{copy}"), 404, "session_not_found")


def test_an_import_repeated_with_its_key_finds_the_same_session(http: httpx.Client, bob: httpx.Client) -> None:
    session = opened(http, "gru", 1)
    content = export(http, session)
    first = bring(http, content, key="import-1")
    copy = answered(first, 201)["id"]
    advance(http, copy, "gru", 1)
    again = bring(http, content, key="import-1")
    assert (answered(again, 201)["id"], again.json()["step"]) == (copy, 2)
    assert again.headers["unroll-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    for other in ({"ttl_seconds": 60}, {"kept_steps": 1}, {"durability": "fsynced"}):
        refusal(bring(http, content, key="import-1", **other), 422, "idempotency_key_reused", "Idempotency-Key")
    refusal(bring(http, with_metadata(content, step="5"), key="import-1"), 422, "idempotency_key_reused")
    refusal(post(http, "/v1/sessions", {"model": "gru"}, key="import-1"), 422, "idempotency_key_reused")
    assert imported(http, content, key="import-2") != copy
    assert imported(bob, content, key="import-1") != copy


def test_imports_that_race_with_one_key_make_one_session(http: httpx.Client) -> None:
    content = export(http, opened(http, "lstm", 1))
    for number in range(10):
        with ThreadPoolExecutor(8) as pool:
            responses = list(pool.map(lambda _, n=number: bring(http, content, key=f"race-{n}"), range(8)))
        assert len({answered(response, 201)["id"] for response in responses}) == 1
        assert sum("unroll-replayed" not in response.headers for response in responses) == 1


def test_the_fingerprint_decides_on_the_version_and_the_name_settles_a_tie(http: httpx.Client) -> None:
    content = export(http, new_session(http, "pair", version="1"))
    for told, version in (("1", "1"), ("2", "2"), ("3", "2"), ("none", "2")):
        session = imported(http, with_metadata(content, version=told))
        assert look_up(http, session)["version"] == version
        assert answered(step(http, session, "the"))["version"] == version
    assert look_up(http, imported(http, export(http, new_session(http, "pair"))))["version"] == "3"


def test_a_state_without_its_model_or_version_is_refused(http: httpx.Client) -> None:
    content = export(http, new_session(http, "lstm"))
    refusal(bring(http, with_metadata(content, model="gone")), 404, "model_not_found", "gone", "lstm")
    error = refusal(bring(http, with_metadata(content, model="gru")), 410, "model_version_gone", "gru", "expected")
    assert error["param"] == "metadata.fingerprint"
    refusal(bring(http, with_metadata(content, fingerprint=f"sha256:{'ab' * 32}")), 410, "model_version_gone", "abab")


@pytest.mark.parametrize(
    ("change", "param", "mention"),
    [
        (lambda _: b"", "body", "an empty file"),
        (lambda _: b"not a file", "body", "safetensors"),
        (lambda _: b"\xff" * 64, "body", "safetensors"),
        (lambda _: (2**63).to_bytes(8, "little") + b"{}", "body", "safetensors"),
        (lambda content: content[:-1], "body", "safetensors"),
        (lambda content: put_together(b" " * 140_000, content)[: MAX_BODY_BYTES], "body", "safetensors"),
        (lambda content: with_tensors(content, h_l0=None), "tensors.h_l0", "missing"),
        (lambda content: with_tensors(content, h_l9=np.zeros(2, np.float32)), "tensors.h_l9", "left out"),
        (lambda content: with_tensors(content, h_l0=np.zeros(25, np.float32)), "tensors.h_l0", "[25]"),
        (lambda content: with_tensors(content, h_l0=np.zeros(24)), "tensors.h_l0", "float64"),
        (lambda content: with_tensors(content, h_l0=np.full(24, np.nan, np.float32)), "tensors.h_l0", "nan at 0"),
        (lambda content: with_tensors(content, h_l0=np.full(24, np.inf, np.float32)), "tensors.h_l0", "inf at 0"),
        (lambda content: with_metadata(content, step=None), "metadata.step", "missing"),
        (lambda content: with_metadata(content, step="-1"), "metadata.step", "'-1'"),
        (lambda content: with_metadata(content, step="1e9"), "metadata.step", "'1e9'"),
        (lambda content: with_metadata(content, timesteps=str(2**63)), "metadata.timesteps", str(2**63)),
        (lambda content: with_metadata(content, dtype="bfloat16"), "metadata.dtype", "float32"),
        (lambda content: with_metadata(content, task="translation"), "metadata.task", "next-word"),
        (lambda content: with_metadata(content, fingerprint="ab"), "metadata.fingerprint", "sha256"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_by_name_and_makes_no_session(
    http: httpx.Client, change: Callable[[bytes], bytes], param: str, mention: str
) -> None:
    content = export(http, new_session(http, "lstm"))
    error = refusal(bring(http, change(content), key="wrong"), 422, "invalid_request", mention, "expected")
    assert error["param"] == param


def test_a_stream_without_the_time_of_its_last_row_forecasts_after_a_row_with_a_time(http: httpx.Client) -> None:
    session = imported(http, with_tensors(export(http, opened(http, "sensor", 2)), time=None))
    error = refusal(post(http, f"/v1/sessions/{session}/predict", {}), 422, "invalid_request", "last row is unknown")
    assert error["param"] == "input.timestamps"
    assert advance(http, session, "sensor", 2)["step"] == 3
    answered(post(http, f"/v1/sessions/{session}/predict", {}))


def test_a_wrong_file_does_not_use_up_its_key(http: httpx.Client) -> None:
    content = export(http, new_session(http, "lstm"))
    refusal(bring(http, content[:-1], key="later right"), 422, "invalid_request")
    assert "unroll-replayed" not in bring(http, content, key="later right").headers


@pytest.mark.parametrize(
    ("query", "mention"),
    [
        ({"ttl_seconds": 0}, '"0"'),
        ({"ttl_seconds": "soon"}, '"soon"'),
        ({"ttl_seconds": 10**9}, "1000000000"),
        ({"kept_steps": 65}, '"65"'),
        ({"kept_steps": -1}, '"-1"'),
        ({"durability": "forever"}, "forever"),
        ({"model": "lstm"}, "model"),
    ],
)
def test_wrong_terms_of_an_import_are_refused_by_name(http: httpx.Client, query: Body, mention: str) -> None:
    content = export(http, new_session(http, "lstm"))
    (name,) = query
    error = refusal(bring(http, content, **query), 422, "invalid_request", mention, "expected")
    assert error["param"] == name


@pytest.mark.parametrize(
    "media_type", ["application/json", "text/plain", "multipart/form-data", "application/x-www-form-urlencoded", "*/*"]
)
def test_another_content_type_is_refused(http: httpx.Client, media_type: str) -> None:
    content = export(http, new_session(http, "lstm"))
    refusal(bring(http, content, media_type=media_type), 415, "unsupported_media_type", media_type, OCTETS)


@pytest.mark.parametrize("media_type", [None, "Application/Octet-Stream; x=y"])
def test_a_file_is_known_without_a_content_type_and_with_parameters(http: httpx.Client, media_type: str | None) -> None:
    imported(http, export(http, new_session(http, "lstm")), media_type=media_type)


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "chunked"])
def test_a_file_that_is_too_large_is_refused(http: httpx.Client, chunked: bool) -> None:
    whole = (MAX_BODY_BYTES * 4).to_bytes(8, "little") + b" " * MAX_BODY_BYTES
    pieces = (whole[at : at + 16_384] for at in range(0, len(whole), 16_384))
    refusal(bring(http, pieces if chunked else whole), 413, "body_too_large", f"{MAX_BODY_BYTES}")


def test_a_file_in_pieces_is_read_whole(http: httpx.Client) -> None:
    content = export(http, new_session(http, "lstm"))
    imported(http, (content[at : at + 100] for at in range(0, len(content), 100)))


@pytest.mark.parametrize("model", ["lstm", "mt", "sensor"])
def test_mutated_files_make_sessions_that_go_on_or_none(server: Server, http: httpx.Client, model: str) -> None:
    content, choose, workers = export(http, opened(http, model, 2)), random.Random(5), server.worker_pids()
    taken = 0
    for _ in range(80):
        response = bring(http, mutated(content, choose))
        assert response.status_code in {201, 404, 410, 422}, response.text
        if response.status_code != 201:
            continue
        session, taken = response.json()["id"], taken + 1
        body = {"input": given(model, 2)}
        answer = post(http, f"/v1/sessions/{session}/steps", body)
        assert answer.status_code == 200 or "input.timestamps" in answer.text, answer.text
        assert http.get(f"/v1/sessions/{session}/state").status_code == 200
    assert taken > 3
    assert server.worker_pids() == workers


# In PyTorch.


def continue_in_torch(
    models_folder: Path, state: dict[str, Tensor], words: Sequence[str]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Feed words to torch.nn's own LSTM from an exported state; return the logits (V,) and the state after them."""
    weights = load_file(models_folder / "lstm" / "1" / "model.safetensors")
    lstm = nn.LSTM(24, 24, num_layers=3)
    lstm.load_state_dict({name[4:]: weight for name, weight in weights.items() if name.startswith("rnn.")})
    before = tuple(torch.stack([state[f"{kind}_l{layer}"] for layer in range(3)]) for kind in "hc")
    with torch.no_grad():
        output, after = lstm(weights["embedding.weight"][[WORDS.index(word) for word in words]], before)
        logits = output[-1] @ weights["output.weight"].T + weights["output.bias"]
    layers = {f"{kind}_l{layer}": row for kind, rows in zip("hc", after, strict=True) for layer, row in enumerate(rows)}
    return logits, layers | {"log_normaliser": logits.logsumexp(-1, keepdim=True)}


def probabilities(output: Body) -> dict[int, float]:
    return {prediction["id"]: prediction["probability"] for prediction in output["predictions"]}


def test_the_tensors_of_a_state_continue_in_torch(http: httpx.Client, models_folder: Path) -> None:
    session = opened(http, "lstm", 3)
    logits, _ = continue_in_torch(models_folder, load(export(http, session)), ("dog", "is", "big"))
    own = probabilities(answered(step(http, session, "dog is big", options={"top_k": 100}))["output"])
    assert len(own) > 40
    torch.testing.assert_close(torch.tensor([*own.values()]), logits.softmax(-1)[[*own]], atol=PROBABILITY, rtol=0)


def test_the_tensors_that_torch_computes_continue_in_a_session(http: httpx.Client, models_folder: Path) -> None:
    session = opened(http, "lstm", 3)
    content = export(http, session)
    _, after = continue_in_torch(models_folder, load(content), ("dog", "is", "big"))
    answered(step(http, session, "dog is big"))
    tensors = {name: tensor.numpy() for name, tensor in after.items()}
    copy = imported(http, with_metadata(with_tensors(content, **tensors), step="40", timesteps="90"))
    continued, expected = (answered(step(http, name, "the", options={"top_k": 100})) for name in (copy, session))
    assert (continued["step"], continued["timesteps"]) == (41, 91)
    assert probabilities(continued["output"]) == pytest.approx(probabilities(expected["output"]), abs=PROBABILITY)
    scores = [response["output"]["observed"]["mean_logprob"] for response in (continued, expected)]
    assert scores[0] == pytest.approx(scores[1], abs=LOGIT)


def test_the_example_of_the_documentation_continues_a_session(
    http: httpx.Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "api.md").read_text("utf-8"), re.DOTALL)
    session = new_session(http, "next-word")
    answered(step(http, session, "I would like"))
    (folder / "state.safetensors").write_bytes(export(http, session))
    monkeypatch.chdir(folder)
    found: dict[str, Any] = {}
    with torch.no_grad():
        exec(code, found)  # noqa: S102 our own documentation
    output = answered(post(http, f"/v1/sessions/{session}/steps", {"input": {"ids": [318, 7]}}))["output"]
    for one in output["predictions"]:
        assert found["probabilities"][one["id"]].item() == pytest.approx(one["probability"], abs=PROBABILITY)


# Forks.


@pytest.mark.parametrize("model", MODELS)
def test_a_fork_at_each_kept_step_goes_on_as_the_parent_did(http: httpx.Client, model: str) -> None:
    parent = opened(http, model, kept_steps=2)
    answers = [advance(http, parent, model, at) for at in range(4)]
    for at in (2, 3):
        child = answered(fork(http, parent, step=at), 201)
        assert (child["step"], child["timesteps"]) == (at, answers[at - 1]["timesteps"])
        assert [advance(http, child["id"], model, then) for then in range(at, 4)] == answers[at:]
    now = answered(fork(http, parent), 201)["id"]
    assert advance(http, now, model, 4) == advance(http, parent, model, 4)


@pytest.mark.parametrize("model", ["lstm", "mt", "sensor"])
def test_a_fork_of_a_fork_keeps_what_its_parent_kept(http: httpx.Client, model: str) -> None:
    parent = opened(http, model, kept_steps=3)
    answers = [advance(http, parent, model, at) for at in range(4)]
    child = answered(fork(http, parent, step=3), 201)["id"]
    for at in (0, 4):
        refusal(fork(http, child, step=at), 422, "invalid_request", f"step is {at}", "[1, 2, 3]")
    grandchild = answered(fork(http, child, step=1), 201)["id"]
    http.delete(f"/v1/sessions/{parent}")
    http.delete(f"/v1/sessions/{child}")
    assert [advance(http, grandchild, model, at) for at in range(1, 4)] == answers[1:]
    assert answered(fork(http, grandchild, step=2), 201)["step"] == 2


@pytest.mark.parametrize("model", ["lstm", "mt", "sensor"])
def test_a_fork_starts_from_state_zero_only_while_it_is_kept(http: httpx.Client, model: str) -> None:
    parent = opened(http, model, kept_steps=1)
    first = advance(http, parent, model, 0)
    child = answered(fork(http, parent, step=0), 201)
    assert (child["step"], child["timesteps"]) == (0, 0)
    assert advance(http, child["id"], model, 0) == first
    advance(http, parent, model, 1)
    refusal(fork(http, parent, step=0), 422, "invalid_request", "step is 0", "[1, 2]")


def test_sixty_four_steps_are_kept_and_no_more(http: httpx.Client) -> None:
    parent = opened(http, "lstm", kept_steps=64)
    answers = [advance(http, parent, "lstm", at) for at in range(66)]
    for at in (2, 33, 65):
        child = answered(fork(http, parent, step=at), 201)["id"]
        assert advance(http, child, "lstm", at) == answers[at]
    refusal(fork(http, parent, step=1), 422, "invalid_request", "step is 1", "[2, 3,")
    refusal(post(http, "/v1/sessions", {"model": "lstm", "kept_steps": 65}), 422, "invalid_request", "kept_steps")


@pytest.mark.parametrize("model", ["lstm", "mt", "sensor"])
def test_a_keyed_fork_is_found_again_whatever_became_of_its_parent(http: httpx.Client, model: str) -> None:
    parent = opened(http, model, 2, kept_steps=1)
    children = {at: answered(fork(http, parent, step=at, key="f"), 201)["id"] for at in (1, 2)}
    children[None] = answered(fork(http, parent, key="f"), 201)["id"]
    assert len(set(children.values())) == 3
    for at in range(2, 4):
        advance(http, parent, model, at)
    advance(http, children[2], model, 2)
    for end in (False, True):
        if end:
            http.delete(f"/v1/sessions/{parent}")
        for at, child in children.items():
            again = fork(http, parent, key="f", **({} if at is None else {"step": at}))
            assert (answered(again, 201)["id"], again.headers["unroll-replayed"]) == (child, "true")
    refusal(fork(http, parent, step=1, key="f", ttl_seconds=5), 422, "idempotency_key_reused")
    refusal(fork(http, parent, step=1, key="new"), 410, "session_ended")


def test_a_fork_of_an_import_and_an_import_of_a_fork_go_on_alike(http: httpx.Client) -> None:
    session = opened(http, "sensor", 2)
    copies = [
        answered(fork(http, imported(http, export(http, session))), 201)["id"],
        imported(http, export(http, answered(fork(http, session), 201)["id"])),
    ]
    expected = advance(http, session, "sensor", 2)
    assert [advance(http, copy, "sensor", 2) for copy in copies] == [expected, expected]
