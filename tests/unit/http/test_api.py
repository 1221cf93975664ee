"""The OpenAPI document that the service sends."""

import asyncio
import json
import threading
from typing import Any

import pytest

from service.http.api import Api


def test_the_document_is_made_once_and_outside_of_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = list[int]()
    api = Api()

    def openapi() -> dict[str, Any]:
        threads.append(threading.get_ident())
        return {"openapi": "3.1.0"}

    async def answers() -> list[bytes]:
        return [*await asyncio.gather(api.openapi_json(), api.openapi_json()), await api.openapi_json()]

    monkeypatch.setattr(api, "openapi", openapi)
    first, second, third = asyncio.run(answers())
    assert json.loads(first) == {"openapi": "3.1.0"}
    assert first == second == third
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()
