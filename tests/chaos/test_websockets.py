"""The client that steps over WebSockets gets what the one of requests gets."""

import asyncio

from tests.chaos.http1 import NOTHING, Connections
from tests.chaos.websockets import SocketConnections
from tests.server import Server, new_session, short_folder, tiny_models


def test_steps_over_websockets_are_answered_as_requests_are() -> None:
    with short_folder() as folder, Server(folder, models=tiny_models(folder / "models")) as server:
        with server.client() as http:
            path = f"/v1/sessions/{new_session(http)}"
        asyncio.run(_compare(int(server.url.rpartition(":")[2]), path))


async def _compare(port: int, path: str) -> None:
    sockets, requests = SocketConnections(port), Connections(port)
    body = {"input": {"text": "the"}, "step": 0}
    first = await sockets.send("POST", f"{path}/steps", body, key="k")
    again = await requests.send("POST", f"{path}/steps", body, key="k")
    assert (first.status, first.body, again.replayed) == (200, again.body, True)
    conflict = await sockets.send("POST", f"{path}/steps", body, key="other")
    assert (conflict.status, conflict.told_step, conflict.error["applied"]) == (409, 1, "no")
    assert (await sockets.send("POST", f"{path}/steps", body | {"step": 1})).told_step == 2
    assert (await sockets.send("GET", path)).json["step"] == 2
    sockets.close()
    requests.close()
    assert await SocketConnections(1).send("POST", f"{path}/steps", body) == NOTHING
