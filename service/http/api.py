"""FastAPI application that describes in its OpenAPI document what the middleware adds to every route."""

import asyncio
import json
from functools import cached_property
from typing import Any, Final

from fastapi import FastAPI

#: Where a client may put its API key; a service without keys needs none.
SECURITY_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer KEY"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
}
SECURITY: Final[list[dict[str, list[str]]]] = [{"bearer": []}, {"apiKey": []}, {}]
JSON = "application/json"


class Api(FastAPI):
    """FastAPI application with API keys in its OpenAPI document, and no errors that an operation cannot have."""

    async def openapi_json(self) -> bytes:
        """Return the OpenAPI document as JSON. It is made once, in a thread: that takes a third of a second."""
        return await asyncio.shield(self._writing)

    @cached_property
    def _writing(self) -> asyncio.Task[bytes]:
        return asyncio.create_task(asyncio.to_thread(self._write))

    def _write(self) -> bytes:
        return json.dumps(self.openapi(), ensure_ascii=False, separators=(",", ":")).encode()

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self.openapi_schema is None:
            _describe(super().openapi())
        return super().openapi()


def _describe(document: dict[str, Any]) -> None:
    """Add the security schemes to a document, and remove errors about bodies from operations without one.

    A parameter in a path is never null: the handler of two paths has a default for the one without it.
    """
    document["components"]["securitySchemes"] = SECURITY_SCHEMES
    for item in document["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path":
                    parameter["schema"] = {"type": "string", "title": parameter["schema"]["title"]}
            body = operation.get("requestBody", {}).get("content", {})
            # Where every wrong request is answered 400, it is not about the body alone.
            if JSON not in body and "422" in operation["responses"]:
                operation["responses"].pop("400", None)
            if not body:
                operation["responses"].pop("415", None)
            if "403" in operation["responses"]:
                operation["security"] = SECURITY
            operation["responses"] = dict(sorted(operation["responses"].items()))
