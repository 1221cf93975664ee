"""Inference over the Open Inference Protocol: tensors in JSON and in binary, compression, sequences, statistics."""

import gzip
import json
import struct
import zlib
from typing import Any

import httpx
import pytest

from tests.integration.conftest import MAX_BODY_BYTES
from tests.integration.http.test_open_inference import refused
from tests.server import Body, answered, new_session, probabilities, step

TINY = "/v2/models/tiny/infer"
JSON_LENGTH = "Inference-Header-Content-Length"


def text(*texts: str) -> Body:
    return {"name": "TEXT", "shape": [len(texts), 1], "datatype": "BYTES", "data": [*texts]}


def ids(*rows: list[int]) -> Body:
    return {"name": "TOKEN_IDS", "shape": [len(rows), len(rows[0])], "datatype": "INT64", "data": [*rows]}


def infer(http: httpx.Client, *inputs: Body, outputs: str = "TOP_IDS TOP_PROBABILITIES", **body: Any) -> httpx.Response:
    return http.post(TINY, json={"inputs": [*inputs], "outputs": [{"name": name} for name in outputs.split()], **body})


def outputs_of(response: httpx.Response) -> dict[str, Body]:
    return {output["name"]: output for output in answered(response)["outputs"]}


def sequence(http: httpx.Client, words: str, **parameters: Any) -> httpx.Response:
    return infer(http, text(words), parameters=parameters)


def binary(array: bytes, datatype: str = "INT64", shape: tuple[int, ...] = (1, 2), **body: Any) -> tuple[bytes, int]:
    """The body of a request with one binary tensor, and the length of its JSON."""
    parameters = {"binary_data_size": len(array)}
    tensor = {"name": "TOKEN_IDS", "shape": [*shape], "datatype": datatype, "parameters": parameters}
    head = json.dumps({"inputs": [tensor], "outputs": [{"name": "TOP_IDS"}], **body}).encode()
    return head + array, len(head)


def test_next_words_are_those_of_the_native_api(http: httpx.Client) -> None:
    native = answered(http.post("/v1/models/tiny/predict", json={"input": {"text": "a b"}, "options": {"top_k": 3}}))
    found = outputs_of(infer(http, text("a b"), parameters={"top_k": 3}))
    expected = probabilities(native["output"])
    assert found["TOP_IDS"]["shape"] == [1, 3]
    assert found["TOP_IDS"]["data"] == [*expected]
    assert found["TOP_PROBABILITIES"]["data"] == pytest.approx([*expected.values()], rel=1e-5)


def test_each_row_of_a_batch_has_its_answer(http: httpx.Client) -> None:
    both = outputs_of(infer(http, ids([1, 2], [3, 4])))["TOP_IDS"]["data"]
    alone = [outputs_of(infer(http, ids(row)))["TOP_IDS"]["data"] for row in ([1, 2], [3, 4])]
    assert both == alone[0] + alone[1]


def test_logits_are_returned_if_they_are_asked_for(http: httpx.Client) -> None:
    found = outputs_of(infer(http, ids([1]), outputs="LOGITS TOP_IDS"))
    logits = found["LOGITS"]["data"]
    assert found["LOGITS"]["shape"] == [1, len(logits)]
    best = sorted(range(len(logits)), key=lambda index: -logits[index])
    assert [index for index in best if index in found["TOP_IDS"]["data"]] == found["TOP_IDS"]["data"]


def test_an_id_out_of_range_is_the_unknown_token(http: httpx.Client) -> None:
    unknown = outputs_of(infer(http, ids([2**62])))
    assert unknown == outputs_of(infer(http, ids([-5])))


@pytest.mark.parametrize("identifier", ["", "0", "request 7"])
def test_the_id_is_echoed(http: httpx.Client, identifier: str) -> None:
    assert answered(infer(http, ids([1]), id=identifier))["id"] == identifier


@pytest.mark.parametrize(
    ("datatype", "code"), [("INT64", "q"), ("INT32", "i"), ("UINT8", "B"), ("UINT64", "Q"), ("INT16", "h")]
)
def test_integers_of_any_size_are_token_ids(http: httpx.Client, datatype: str, code: str) -> None:
    content, length = binary(struct.pack(f"<2{code}", 1, 2), datatype)
    found = outputs_of(http.post(TINY, content=content, headers={JSON_LENGTH: str(length)}))
    assert found == outputs_of(infer(http, ids([1, 2]), outputs="TOP_IDS"))


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)])
def test_binary_tensors_may_be_compressed(http: httpx.Client, coding: str, pack: Any) -> None:
    content, length = binary(struct.pack("<2q", 1, 2), parameters={"binary_data_output": True})
    headers = {JSON_LENGTH: str(length), "Content-Encoding": coding, "Accept-Encoding": coding}
    response = http.post(TINY, content=pack(content), headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers.get("Content-Encoding", "identity") == coding
    size = int(response.headers[JSON_LENGTH])
    (output,) = json.loads(response.content[:size])["outputs"]
    found = struct.unpack("<5q", response.content[size:])
    assert output["parameters"] == {"binary_data_size": 40}
    assert [*found] == outputs_of(infer(http, ids([1, 2]), outputs="TOP_IDS"))["TOP_IDS"]["data"]


def test_a_raw_body_is_the_only_required_input(http: httpx.Client) -> None:
    response = http.post(TINY, content=struct.pack("<2q", 1, 2), headers={JSON_LENGTH: "0"})
    size = int(response.headers[JSON_LENGTH])
    outputs = {output["name"]: output for output in json.loads(response.content[:size])["outputs"]}
    assert [*outputs] == ["LOGITS", "TOP_IDS", "TOP_TOKENS", "TOP_PROBABILITIES"]
    assert sum(output["parameters"]["binary_data_size"] for output in outputs.values()) == len(response.content) - size


@pytest.mark.parametrize(
    ("tensor", "mention"),
    [
        ({"name": "TOKEN_IDS", "shape": [1, 3], "datatype": "INT64", "data": [1, 2]}, "2 elements: expected 3"),
        ({"name": "TOKEN_IDS", "shape": [2, 2], "datatype": "INT64", "data": [[1, 2], [3]]}, "not nested"),
        ({"name": "TOKEN_IDS", "shape": [1, 1], "datatype": "INT64", "data": [1.5]}, "expected integers"),
        ({"name": "TOKEN_IDS", "shape": [1, 1], "datatype": "INT64", "data": [2**63]}, "cannot hold"),
        ({"name": "TOKEN_IDS", "shape": [1, 1], "datatype": "INT65", "data": [1]}, "INT65"),
        ({"name": "TOKEN_IDS", "shape": [1, -1], "datatype": "INT64", "data": [1]}, "shape"),
        ({"name": "TOKEN_IDS", "shape": [1, 1], "datatype": "FP32", "data": [1]}, "FP32"),
        ({"name": "TOKEN_IDS", "shape": [1, 1], "datatype": "FP16", "data": [1]}, "binary"),
        ({"name": "TOKEN_IDS", "shape": [1, 1], "datatype": "INT64"}, "has no data"),
        ({"name": "WORDS", "shape": [1, 1], "datatype": "INT64", "data": [1]}, "expected one of TOKEN_IDS, TEXT"),
        ({"name": "TEXT", "shape": [1, 1], "datatype": "INT64", "data": [1]}, "INT64"),
        (
            {"name": "TEXT", "shape": [1, 1], "datatype": "BYTES", "parameters": {"shared_memory_region": "x"}},
            "shared_memory_region",
        ),
    ],
)
def test_a_wrong_tensor_is_named(http: httpx.Client, tensor: Body, mention: str) -> None:
    refused(infer(http, tensor), 422, mention)


@pytest.mark.parametrize(
    ("body", "mention"),
    [
        ({"outputs": [{"name": "SCORE"}]}, "SCORE"),
        ({"parameters": {"horizon": 3}}, "horizon"),
        ({"parameters": {"colour": 3}}, "colour"),
        ({"parameters": {"sequence_start": True}}, "sequence_id"),
        ({"parameters": {"sequence_id": -1}}, "sequence_id"),
        ({"parameters": {"sequence_id": 1.5}}, "sequence_id"),
        ({"parameters": {"sequence_id": 7, "sequence_start": 1}}, "expected true or false"),
        ({"parameters": {"sequence_id": 7, "step": "0"}}, "parameters.step"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_a_wrong_field_is_named(http: httpx.Client, body: Body, mention: str) -> None:
    refused(http.post(TINY, json={"inputs": [ids([1])], **body}), 422, mention)


def test_bytes_that_do_not_fit_the_shape_are_refused(http: httpx.Client) -> None:
    content, length = binary(b"\0" * 15)
    refused(http.post(TINY, content=content, headers={JSON_LENGTH: str(length)}), 422, "expected 16")
    content, length = binary(b"\0" * 16)
    refused(http.post(TINY, content=content + b"x", headers={JSON_LENGTH: str(length)}), 422, "17 bytes follow")
    refused(http.post(TINY, content=content, headers={JSON_LENGTH: "9999"}), 400, JSON_LENGTH)


def test_a_compressed_bomb_is_refused(http: httpx.Client) -> None:
    bomb = gzip.compress(b" " * (64 * MAX_BODY_BYTES))
    refused(http.post(TINY, content=bomb, headers={"Content-Encoding": "gzip"}), 413, "inflated")
    refused(http.post(TINY, content=bomb[:-9], headers={"Content-Encoding": "gzip"}), 413, "inflated")


def test_a_body_that_is_not_what_its_headers_say_is_refused(http: httpx.Client) -> None:
    refused(http.post(TINY, content=b"{"), 400, "not JSON")
    refused(http.post(TINY, content=b"{}", headers={"Content-Encoding": "gzip"}), 400, "Content-Encoding")
    refused(http.post(TINY, content=gzip.compress(b"{}")[:-4], headers={"Content-Encoding": "gzip"}), 400, "cut off")
    refused(http.post(TINY, content=b"{}", headers={"Content-Encoding": "br"}), 415, "br")
    refused(http.post(TINY, content=b"{}", headers={"Content-Type": "text/plain"}), 415, "text/plain")
    refused(http.post(TINY, content=b" " * (MAX_BODY_BYTES + 1)), 413, "body")


@pytest.mark.parametrize("name", [42, "42", 2**64 - 1, "user/7 é"])
def test_a_sequence_is_a_session(http: httpx.Client, name: int | str) -> None:
    session = new_session(http)
    expected = [answered(step(http, session, words))["output"] for words in ("a b", "c", "d")]
    found = [
        sequence(http, "a b", sequence_id=name, sequence_start=True),
        sequence(http, "c", sequence_id=name),
        sequence(http, "d", sequence_id=name),
    ]
    for output, response in zip(expected, found, strict=True):
        assert outputs_of(response)["TOP_IDS"]["data"] == [*probabilities(output)]
    parameters = answered(found[-1])["parameters"]
    native = answered(http.get(f"/v1/sessions/{parameters['session_id']}"))
    assert (native["step"], native["model"], parameters["step"]) == (3, "tiny", 3)
    answered(sequence(http, "e", sequence_id=name, sequence_end=True))
    assert http.get(f"/v1/sessions/{parameters['session_id']}").status_code == 410
    refused(sequence(http, "f", sequence_id=name), 404, "must specify the START flag on the first request")


def test_numbers_and_texts_and_clients_have_sequences_of_their_own(http: httpx.Client, bob: httpx.Client) -> None:
    answered(sequence(http, "a", sequence_id=77, sequence_start=True))
    refused(sequence(http, "a", sequence_id="77"), 404, "START")
    refused(sequence(bob, "a", sequence_id=77), 404, "START")


@pytest.mark.parametrize("nothing", [0, ""])
def test_no_id_is_no_sequence(http: httpx.Client, nothing: int | str) -> None:
    assert "parameters" not in answered(sequence(http, "a", sequence_id=nothing))


def test_a_start_begins_a_live_sequence_anew_and_one_that_ended(http: httpx.Client) -> None:
    first = answered(sequence(http, "a b", sequence_id=91, sequence_start=True))
    answered(sequence(http, "c", sequence_id=91))
    again = answered(sequence(http, "a b", sequence_id=91, sequence_start=True))
    assert again["outputs"] == first["outputs"]
    assert again["parameters"]["step"] == 1
    answered(sequence(http, "c", sequence_id=91, sequence_end=True))
    after = answered(sequence(http, "a b", sequence_id=91, sequence_start=True))
    assert after == again
    listed = [item["id"] for item in answered(http.get("/v1/sessions", params={"limit": 1000}))["data"]]
    assert listed.count(after["parameters"]["session_id"]) == 1


def test_step_protects_a_sequence(http: httpx.Client) -> None:
    start = {"sequence_id": "protected", "sequence_start": True, "step": 0}
    first = answered(sequence(http, "a b", **start))
    replayed = answered(sequence(http, "a b", **start))
    assert replayed["parameters"].pop("replayed") is True
    assert first["parameters"].pop("replayed") is False
    assert replayed == first
    answered(sequence(http, "c", sequence_id="protected", step=1))
    refused(sequence(http, "a b", **start), 409, "expected 2")
    refused(sequence(http, "d", sequence_id="protected", step=1), 409, "expected 2")
    last = {"sequence_id": "protected", "step": 2, "sequence_end": True}
    answered(sequence(http, "d", **last))
    assert answered(sequence(http, "a b", **start))["outputs"] == first["outputs"]


def test_a_sequence_has_one_row(http: httpx.Client) -> None:
    response = infer(http, ids([1], [2]), parameters={"sequence_id": 5, "sequence_start": True})
    refused(response, 422, "2 rows: expected one")


def test_metadata_and_configuration_describe_the_tensors(http: httpx.Client) -> None:
    metadata = answered(http.get("/v2/models/tiny"))
    assert metadata["inputs"] == [
        {"name": "TOKEN_IDS", "datatype": "INT64", "shape": [-1, -1]},
        {"name": "TEXT", "datatype": "BYTES", "shape": [-1, 1]},
    ]
    assert {output["name"] for output in metadata["outputs"]} == {
        "LOGITS",
        "TOP_IDS",
        "TOP_TOKENS",
        "TOP_PROBABILITIES",
    }
    config = answered(http.get("/v2/models/tiny/versions/1/config"))
    assert "sequence_batching" in config
    assert [tensor["dims"] for tensor in config["input"]] == [[-1], [1]]
    refused(http.get("/v2/models/nothing"), 404, "nothing")
    refused(http.get("/v2/models/tiny/versions/9/config"), 404, "9")


def test_statistics_grow_with_requests(http: httpx.Client) -> None:
    def stats() -> Body:
        (entry,) = answered(http.get("/v2/models/tiny/stats"))["model_stats"]
        return entry  # type: ignore[no-any-return]

    before = stats()
    answered(infer(http, ids([1], [2], [3])))
    refused(infer(http, text("")), 422)
    after = stats()
    assert after["inference_count"] - before["inference_count"] == 3
    assert after["execution_count"] - before["execution_count"] == 1
    for kind, growth in {"success": 1, "queue": 1, "compute_infer": 1, "fail": 1}.items():
        assert after["inference_stats"][kind]["count"] - before["inference_stats"][kind]["count"] == growth
    parts = ("queue", "compute_input", "compute_infer", "compute_output")
    assert after["inference_stats"]["success"]["ns"] >= sum(after["inference_stats"][part]["ns"] for part in parts)
    assert after["last_inference"] > 0
    assert {entry["name"] for entry in answered(http.get("/v2/models/stats"))["model_stats"]} >= {"tiny", "pair"}


def test_the_repository_lists_what_is_served(http: httpx.Client) -> None:
    entries = answered(http.post("/v2/repository/index"))
    assert {"name": "tiny", "version": "1", "state": "READY", "reason": ""} in entries
    assert answered(http.post("/v2/repository/index", json={"ready": True})) == entries


def test_a_model_is_not_unloaded_by_one_of_several_tenants(http: httpx.Client) -> None:
    assert http.post("/v2/repository/models/tiny/load", json={}).status_code == 200
    refused(http.post("/v2/repository/models/nothing/load", json={}), 404, "nothing")
    body = {"parameters": {"unload_dependents": False}}
    refused(http.post("/v2/repository/models/tiny/unload", json=body), 403, "not allowed")
    refused(http.post("/v2/repository/models/tiny/unload", json={"parameters": {"force": True}}), 422, "force")
    assert http.get("/v2/models/tiny/ready").status_code == 200


GENERATION = {"text_input": "a b", "parameters": {"max_tokens": 6, "temperature": 0}, "id": "7"}


def test_a_text_is_continued_as_by_the_native_api(http: httpx.Client) -> None:
    native = {"input": {"text": "a b"}, "options": GENERATION["parameters"]}
    expected = answered(http.post("/v1/models/tiny/generate", json=native))["output"]["text"]
    found = answered(http.post("/v2/models/tiny/generate", json=GENERATION))
    assert found == {"id": "7", "model_name": "tiny", "model_version": "1", "text_output": expected}


def test_a_streamed_continuation_has_the_same_text(http: httpx.Client) -> None:
    expected = answered(http.post("/v2/models/tiny/generate", json=GENERATION))["text_output"]
    response = http.post("/v2/models/tiny/generate_stream", json=GENERATION)
    assert response.headers["Content-Type"].startswith("text/event-stream")
    events = [json.loads(line.removeprefix("data: ")) for line in response.text.splitlines() if line]
    assert len(events) > 1
    assert "".join(event["text_output"] for event in events) == expected
    assert {event["id"] for event in events} == {"7"}


@pytest.mark.parametrize("path", ["generate", "generate_stream"])
def test_a_wrong_generation_is_refused(http: httpx.Client, path: str) -> None:
    url = f"/v2/models/tiny/{path}"
    refused(http.post(url, json={**GENERATION, "parameters": {"max_tokens": 0}}), 422, "parameters.max_tokens")
    refused(http.post(url, json={"text_input": ""}), 422, "no token")
    refused(http.post(url, json={}), 422, "text_input")
    refused(http.post(f"/v2/models/nothing/{path}", json=GENERATION), 404, "nothing")


def test_a_replayed_step_is_marked(http: httpx.Client) -> None:
    start = {"sequence_id": "marked", "sequence_start": True, "step": 0}
    assert "Unroll-Replayed" not in sequence(http, "a", **start).headers
    assert sequence(http, "a", **start).headers["Unroll-Replayed"] == "true"
