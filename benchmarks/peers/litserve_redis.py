"""LitServe with batches of up to 64 and the states in Redis.

    python -m benchmarks.peers.litserve_redis PORT MODEL_FOLDER REDIS_URL

One MGET and one pipeline of SETs per batch.
"""

import sys
from pathlib import Path
from typing import Any

import litserve
import torch
from redis import Redis

from benchmarks.peers.states import Network, answer

BATCH = 64
#: Time in seconds that a batch waits for more requests.
BATCH_TIMEOUT_SECONDS = 0.02


class Steps(litserve.LitAPI):
    """API that decodes, runs and encodes steps; LitServe gathers the batches."""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(max_batch_size=BATCH, batch_timeout=BATCH_TIMEOUT_SECONDS, api_path="/step")
        self._folder, self._url = folder, url

    def setup(self, device: str) -> None:  # noqa: ARG002 - the base class's argument
        self._network, self._redis = Network(self._folder), Redis.from_url(self._url)

    def decode_request(self, request: dict[str, Any]) -> tuple[str, int]:
        return request["session"], request["id"]

    def batch(self, inputs: list[tuple[str, int]]) -> list[tuple[str, int]]:
        return inputs

    def predict(self, inputs: list[tuple[str, int]]) -> list[dict[str, Any]]:
        names, words = zip(*inputs, strict=True)
        state = self._network.unpack(self._redis.mget(names))
        ids, probabilities, *after = self._network.step(torch.tensor(words), *state)
        pipeline = self._redis.pipeline(transaction=False)
        for name, record in zip(names, self._network.pack(*after), strict=True):
            pipeline.set(name, record)
        pipeline.execute()
        return list(map(answer, ids, probabilities))

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return output


if __name__ == "__main__":
    api = Steps(Path(sys.argv[2]), sys.argv[3])
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    quiet = {"generate_client_file": False, "log_level": "warning", "access_log": False}
    server.run(host="127.0.0.1", port=int(sys.argv[1]), **quiet)
