"""Reads bodies strictly, most of them JSON, and tells what is wrong with them."""

import json
import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from service.domain.errors import InvalidJson, InvalidRequest, UnsupportedMediaType

OCTETS = "application/octet-stream"
#: How pydantic begins to tell what it wanted.
EXPECTED = re.compile(r"^(?:Input|List|String) should")


class StrictRequest(Request):
    """A request whose body is JSON and nothing else."""

    async def json(self) -> Any:  # noqa: ANN401 - JSON is anything until pydantic has seen it
        """Return the parsed body. Raises InvalidJson, UnsupportedMediaType."""
        if hasattr(self, "_json"):
            return self._json
        _require_media_type(self, "application/json")
        self._json: Any = parse(await self.body())
        return self._json


class StrictRoute(APIRoute):
    """A route that reads its body by `StrictRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            strict = StrictRequest(request.scope, request.receive)
            if self.body_field is not None and await strict.body():
                await strict.json()
            return await handle(strict)

        return handle_strictly


async def octets(request: Request) -> bytes:
    """Return a body that is a file, for a route that takes one. Raises UnsupportedMediaType."""
    _require_media_type(request, OCTETS)
    return await request.body()


def _require_media_type(request: Request, wanted: str) -> None:
    """Refuse a body of another type; one that names none is taken for the wanted one."""
    media_type = request.headers.get("content-type", wanted).split(";")[0].strip().lower()
    if media_type != wanted:
        raise UnsupportedMediaType(f"Content-Type is {media_type!r}: expected {wanted}")


def parse(raw: bytes) -> Any:  # noqa: ANN401 - likewise
    """Parse JSON; NaN and Infinity are none. Raises InvalidJson."""
    try:
        return DECODER.decode(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidJson(f"the body is not UTF-8: byte {error.start} is 0x{raw[error.start]:02x}") from None
    except json.JSONDecodeError as error:
        raise InvalidJson(f"the body is not JSON: {error.msg} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise InvalidJson("the body is nested too deeply to be read") from None


def _parse_int(digits: str) -> int | float:
    # Python refuses integers of thousands of digits: as a float they reach the field's own check.
    return int(digits) if len(digits) <= 400 else float(digits)


def _refuse(constant: str) -> NoReturn:
    raise InvalidJson(f"the body holds {constant}, which is not JSON: expected a finite number, or null")


DECODER = json.JSONDecoder(parse_constant=_refuse, parse_int=_parse_int)


def invalid_request(error: RequestValidationError) -> InvalidRequest:
    """Turn the first complaint of pydantic into an error that names field, value and expectation."""
    first = error.errors()[0]
    field = _field(first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    kind = first["type"]
    if kind == "missing":
        return InvalidRequest(f"{field} is missing: expected it", param=field)
    if kind == "extra_forbidden":
        return InvalidRequest(f"{field} is not a field of this request: expected it to be left out", param=field)
    found, message = _excerpt(first.get("input")), EXPECTED.sub("expected it to", message)
    return InvalidRequest(f"{field} is {found}: {message[:1].lower()}{message[1:]}", param=field)


def _field(location: Sequence[str | int]) -> str:
    parts = [part for part in location if part not in {"body", "query", "path", "header"}]
    name = ""
    for part in parts:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
    return name or "body"


def _excerpt(value: object) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except ValueError:
        text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."
