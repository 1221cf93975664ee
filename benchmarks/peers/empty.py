"""An endpoint that does nothing, without a framework: the upper bound of load generator and HTTP server.

    python -m benchmarks.peers.empty PORT MODEL_FOLDER REDIS_URL

The last two are not used.
"""

import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

ANSWER = b'{"predictions": []}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def endpoint(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Read the body as JSON if there is one and send a short answer."""
    message = await receive()
    if scope["method"] == "POST":
        json.loads(message["body"])
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": ANSWER})


if __name__ == "__main__":
    uvicorn.run(endpoint, port=int(sys.argv[1]), access_log=False, lifespan="off")
