"""A worker stops in time and without an error in its log, whatever its clients do with their connections."""

import contextlib
import json
import time

from tests.integration.process.attacks import request
from tests.raw_connection import RawConnection
from tests.server import Server, short_folder, tiny_models


def test_a_client_that_does_not_read_its_answers_is_disconnected_at_the_end_of_the_grace_time() -> None:
    asked = request(b"Content-Length: 0", method=b"GET", path=b"/openapi.json")
    with short_folder() as folder:
        settings = {"grace_seconds": 3, "access_log": "off"}
        with Server(folder, models=tiny_models(folder / "models"), **settings) as server:
            with contextlib.closing(RawConnection(server.url, receive_buffer=4096)) as connection:
                # Each answer has more bytes than the buffers of both sides hold.
                connection.send(asked * 40)
                time.sleep(1)
                began = time.monotonic()
                assert server.terminate() == 0
                assert time.monotonic() - began < 15
            levels = {json.loads(line)["event"]: json.loads(line)["level"] for line in server.log.splitlines()}
        assert levels["grace time over; closing connections"] == "warning"
        assert "error" not in levels.values(), server.log
