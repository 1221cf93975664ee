"""Keys of a running service with two workers, made and revoked by the command: what they end, and what gRPC sees."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from service.cli import app
from tests.folders import write_language_model
from tests.server import NEW_CONNECTIONS, ROOT, Server, eventually, new_session, short_folder, tiny_models
from tests.sockets import close_of, open_socket, receive, send, stream_of, words

grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
messages = pytest.importorskip("service.grpc.messages", reason="grpcio is not installed")
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"


class Keys:
    """`unroll keys` on one file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, *arguments: str) -> str:
        ended = CliRunner().invoke(app, ["keys", *arguments, "--file", str(self.path)])
        assert ended.exit_code == 0, ended.output
        return ended.stdout

    def create(self, *options: str) -> dict[str, Any]:
        made: dict[str, Any] = json.loads(self("create", "--tenant", "alice", "--json", *options))
        return made


@pytest.fixture(scope="module")
def keys() -> Iterator[Keys]:
    with short_folder() as folder:
        yield Keys(folder / "keys.json")


@pytest.fixture(scope="module")
def served(keys: Keys) -> Iterator[Server]:
    keys.create("--note", "the first")
    models = tiny_models(keys.path.parent / "models")
    write_language_model(models, "other")
    with Server(keys.path.parent, models=models, workers=2, api_keys_file=keys.path, grpc_port=0) as server:
        yield server


def await_noticed(server: Server, made: dict[str, Any], action: str) -> None:
    """Wait until both workers have noticed that a key was made or revoked."""

    def noticed() -> bool:
        lines = [json.loads(line) for line in server.log.splitlines() if made["id"] in line]
        return len({line["process"] for line in lines if (line["event"], line["action"]) == ("audit", action)}) == 2

    eventually(noticed)


def status(server: Server, key: str) -> int:
    return httpx.get(f"{server.url}/v1/models", headers={"X-Api-Key": key, **NEW_CONNECTIONS}).status_code


def test_a_key_works_on_all_workers_soon_after_it_is_made_and_never_after_it_is_revoked(
    served: Server, keys: Keys
) -> None:
    made = keys.create()
    requests: SimpleQueue[bytes | None] = SimpleQueue()
    await_noticed(served, made, "key.added")
    assert {status(served, made["key"]) for _ in range(8)} == {200}
    with served.client(made["key"]) as client:
        session = new_session(client)
    with (
        open_socket(served, stream_of(session), made["key"]) as one,
        open_socket(served, "/v1/stream", made["key"]) as many,
        grpc.insecure_channel(served.grpc_address) as channel,
    ):
        call = channel.stream_stream(STREAM, bytes, messages.message("ModelStreamInferResponse").FromString)
        responses = call(iter(requests.get, None), metadata=(("x-api-key", made["key"]),), timeout=60)
        requests.put(inference())
        assert next(responses).infer_response.model_name == "tiny"
        send(one, words("the", step=0))
        assert receive(one)["step"] == 1
        keys("revoke", made["id"])
        assert close_of(one) == close_of(many) == (4401, "invalid_api_key")
        with pytest.raises(grpc.RpcError) as ended:
            next(responses)
        assert ended.value.code() is grpc.StatusCode.UNAUTHENTICATED
        requests.put(None)
    await_noticed(served, made, "key.removed")
    assert {status(served, made["key"]) for _ in range(8)} == {401}
    assert made["key"] not in served.log


def inference() -> bytes:
    """The message of a request of a stream."""
    request = messages.message("ModelInferRequest")(model_name="tiny")
    tensor = request.inputs.add(name="TOKEN_IDS", datatype="INT64", shape=[1, 1])
    tensor.contents.int64_contents.append(1)
    content: bytes = request.SerializeToString()
    return content


def test_over_grpc_a_key_of_some_models_sees_no_others(served: Server, keys: Keys) -> None:
    whole, restricted = keys.create(), keys.create("--model", "tiny")
    for made in (whole, restricted):
        await_noticed(served, made, "key.added")
    with grpc.insecure_channel(served.grpc_address) as channel:

        def call(made: dict[str, Any], method: str, **fields: str) -> Any:
            request = messages.message(f"{method}Request")(**fields).SerializeToString()
            stub = channel.unary_unary(
                f"/inference.GRPCInferenceService/{method}", bytes, messages.message(f"{method}Response").FromString
            )
            return stub(request, metadata=(("x-api-key", made["key"]),), timeout=30)

        for made, expected in ((whole, {"tiny", "other"}), (restricted, {"tiny"})):
            assert {model.name for model in call(made, "RepositoryIndex").models} == expected
            assert {model.name for model in call(made, "ModelStatistics").model_stats} == expected
            assert {name for name in ("tiny", "other") if call(made, "ModelReady", name=name).ready} == expected
        assert call(whole, "ModelMetadata", name="other").name == "other"
        told = set()
        for method, field in (("ModelMetadata", "name"), ("ModelConfig", "name"), ("ModelStatistics", "name"),
                            ("RepositoryModelUnload", "model_name"), ("ModelInfer", "model_name")):  # fmt: skip
            for model in ("other", "otter"):
                with pytest.raises(grpc.RpcError) as refused:
                    call(restricted, method, **{field: model})
                assert refused.value.code() is grpc.StatusCode.NOT_FOUND, method
                told.add(refused.value.details().replace(model, "MODEL"))
        assert told == {"model 'MODEL' is not served: expected one of ['tiny']"}


def test_a_worker_that_starts_with_a_broken_file_of_keys_is_tried_again(served: Server, keys: Keys) -> None:
    good = keys.path.read_text()
    keys.path.write_text("{")
    os.kill(served.worker_pids()[0], signal.SIGKILL)
    eventually(lambda: "API keys cannot be used" in served.log, 60)
    assert served.running
    keys.path.write_text(good)
    eventually(served.is_ready, 120)


def test_a_service_whose_file_of_keys_is_broken_does_not_start(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text('{"keys": [{"id": "a b"}]}')
    command = [sys.executable, "-m", "service.cli", "serve", "--port", "0"]
    environment = {"PATH": "/usr/bin:/bin", "UNROLL_API_KEYS_FILE": str(path), "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 78
    assert f"unroll: UNROLL_API_KEYS_FILE is wrong, {path}: keys[0].tenant is missing: expected" in ended.stderr
