"""The benchmark's parts that a figure hangs on: the reference network, what the peers compute, what wrk sends."""

import json
import shutil
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from benchmarks.generator import ConnectionUse, Load, Session, run, sessions_for
from benchmarks.peers.states import Network
from benchmarks.ref_lm import main
from service.domain.operations import Predict, TextInput
from service.engine.loaded_models import load_version
from service.engine.runner import run_timestep
from service.tasks.limits import TextLimits
from tests.rounding import PROBABILITY

Seen = dict[str, list[tuple[int, int]]]


@pytest.fixture(scope="module")
def ref_lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder as `python -m benchmarks.ref_lm` writes it."""
    models = tmp_path_factory.mktemp("models")
    main([str(models)])
    return models / "ref-lm" / "1"


def test_the_reference_model_is_verified_and_its_steps_are_what_the_peers_compute(ref_lm: Path) -> None:
    loaded, peer = load_version(ref_lm, TextLimits()), Network(ref_lm)
    task, records = loaded.task, [None]
    row = task.initial_state
    for word in (17, 4711):
        sequence = task.start(Predict(TextInput(ids=(word,))), row)
        assert run_timestep(task, [sequence]) == [None]
        row = sequence.state
        ids, probabilities, *after = peer.step(torch.tensor([word]), *peer.unpack(records))
        records = peer.pack(*after)
        own = {
            prediction["id"]: prediction["probability"] for prediction in sequence.outcome(b"").output["predictions"]
        }
        theirs = dict(zip(ids[0].tolist(), probabilities[0].tolist(), strict=True))
        assert own == pytest.approx(theirs, abs=PROBABILITY)
    assert loaded.version.verified
    assert loaded.version.state_bytes == len(records[0]) + 4  # the log of the normaliser


@contextmanager
def answering(seen: Seen) -> Iterator[int]:
    """A server that notes over which connection each step of each session came, and refuses every fifth step."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen[self.path].append((body["step"], self.client_address[1]))
            self.send_response(200 if body["step"] % 5 else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """The generator leaves when its time is over, whatever it waits for."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def load(connection_use: ConnectionUse, connections: int = 3) -> tuple[Load, Seen]:
    seen: Seen = defaultdict(list)
    sessions = [Session(f"/{n}", '{"id": %d, "step": %d}') for n in range(sessions_for(connections, connection_use))]
    with answering(seen) as port:
        return run(port, sessions, connections, connection_use, 1), seen


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk, the load generator, is not on the PATH")
@pytest.mark.parametrize(("connection_use", "sessions"), [("stay", 3), ("move", 48)])
def test_sessions_step_by_step_and_stay_on_their_connection_or_move(
    connection_use: ConnectionUse, sessions: int
) -> None:
    results, seen = load(connection_use)
    assert len(seen) == sessions
    for steps in seen.values():
        assert sorted(number for number, _ in steps) == list(range(len(steps)))
        connections = {connection for _, connection in steps}
        assert len(connections) == 1 if connection_use == "stay" else len(connections) > 1
    refused = sum(number % 5 == 0 for steps in seen.values() for number, _ in steps)
    # What is under way when the time is over was sent, and is not counted.
    assert 0 <= refused - results.errors <= 3
