"""What sessions and steps of a model cost: memory of the store, and processor time of the worker and the store."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from service.deployment.trial_load import CONNECTIONS, Client, one_step, run_steps, session_fields
from service.deployment.trial_server import TrialServer, trial_server
from service.tasks.architectures import ARCHITECTURES
from service.tooling.pack.example_request import example_input

#: Number of sessions whose memory is measured. Of fewer, the index of the store is laid out in another way.
SESSIONS = 1000
WARM_UP_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Measurement:
    """Costs of one model on this machine; times are processor time in seconds."""

    bytes_per_session: float
    worker_seconds_per_step: float
    store_seconds_per_step: float
    log_bytes_per_step: float
    steps: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def measure(folder: Path, seconds: float) -> Measurement:
    """Serve a model folder for some seconds and measure. Raises SettingsError, ModelFolderError, InvalidRequest."""
    example = example_input(folder, ARCHITECTURES)
    with trial_server(folder) as server:
        first = Client(server.port, folder.parent.name, {}, one_step(example))
        fields = session_fields(first, example)
        first.close()
        clients = [Client(server.port, folder.parent.name, fields, one_step(example)) for _ in range(CONNECTIONS)]
        try:
            return _measure(server, clients, seconds)
        finally:
            for client in clients:
                client.close()


def _measure(server: TrialServer, clients: list[Client], seconds: float) -> Measurement:
    before = server.store_bytes()
    for number in range(SESSIONS):
        client = clients[number % CONNECTIONS]
        client.open()
        client.advance()
    size = (server.store_bytes() - before) / SESSIONS
    run_steps(clients, WARM_UP_SECONDS)
    worker, store, log = server.worker_seconds(), server.store_seconds(), server.log_bytes()
    steps = max(1, run_steps(clients, seconds))
    return Measurement(
        bytes_per_session=size,
        worker_seconds_per_step=(server.worker_seconds() - worker) / steps,
        store_seconds_per_step=(server.store_seconds() - store) / steps,
        log_bytes_per_step=(server.log_bytes() - log) / steps,
        steps=steps,
    )
