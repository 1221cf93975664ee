"""A plain endpoint: FastAPI, `nn.LSTM`, and the state in Redis by GET and SET.

    python -m benchmarks.peers.fastapi_redis PORT MODEL_FOLDER REDIS_URL

One forward pass per request.
"""

import sys
from pathlib import Path

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from redis.asyncio import Redis

from benchmarks.peers.states import Network, answer


class Step(BaseModel):
    session: str
    id: int


def create(folder: Path, url: str) -> FastAPI:
    app, network, redis = FastAPI(), Network(folder), Redis.from_url(url)

    @app.get("/health")
    async def health() -> None: ...

    @app.post("/step")
    async def step(request: Step) -> dict[str, list[dict[str, int | float]]]:
        state = network.unpack([await redis.get(request.session)])
        ids, probabilities, *after = network.step(torch.tensor([request.id]), *state)
        await redis.set(request.session, network.pack(*after)[0])
        return answer(ids[0], probabilities[0])

    return app


if __name__ == "__main__":
    uvicorn.run(create(Path(sys.argv[2]), sys.argv[3]), port=int(sys.argv[1]), access_log=False)
