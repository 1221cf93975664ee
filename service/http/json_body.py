"""Strict reading of request bodies, most of them JSON, and the errors of those that are wrong."""

import contextlib
import json
import re
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError
from pydantic_core import from_json

from service.application.time_slices import TurnSlices
from service.domain.errors import InvalidJson, InvalidRequest, UnsupportedMediaType
from service.domain.runtime.fair_thread import LARGE_BODY_BYTES, run_sized
from service.domain.runtime.nesting import exceeds_depth
from service.http.body_sizes import MAX_ITEMS, SizeLimits, check_sizes
from service.http.schemas.strict import Schema

JSON = "application/json"
OCTETS = "application/octet-stream"
UTF_8 = frozenset({"utf-8", "utf8"})
#: The beginning of pydantic's messages about a type.
EXPECTED = re.compile(r"^(?:Input|List|String) should")
#: Integers that are read as floats, since Python takes quadratic time for those of thousands of digits. Without the
#: condition in front, the search itself would take quadratic time for runs of 399 digits.
LONG_INTEGER = re.compile(rb"(?<![0-9])[0-9]{400}")
#: Levels of lists and objects in a body, half of what Python's parser takes.
MAX_DEPTH = 500
MAX_EXCERPT = 80
EXCERPT_ENCODER = json.JSONEncoder(ensure_ascii=False, default=str)


class StrictRequest(Request):
    """A request whose body must be JSON."""

    async def json(self) -> Any:  # noqa: ANN401 - JSON is anything until pydantic has seen it
        """Return the parsed body. Raises InvalidJson, UnsupportedMediaType."""
        if hasattr(self, "_json"):
            return self._json
        _require_media_type(self.headers.get("content-type"), JSON)
        content = await self.body()
        read = partial(parse_body, content, self.state.size_limits)
        self._json: Any = await run_sized(self.state.context.cost.client, len(content), read)
        return self._json


class StrictRoute(APIRoute):
    """A route that reads its body as a `StrictRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            strict = StrictRequest(request.scope, request.receive)
            if self.body_field is not None and await strict.body():
                await strict.json()
            return await handle(strict)

        return handle_strictly


async def octets(request: Request) -> bytes:
    """Return the body of a request that uploads a file; a dependency of routes. Raises UnsupportedMediaType."""
    _require_media_type(request.headers.get("content-type", OCTETS), OCTETS)
    return await request.body()


def _require_media_type(content_type: str | None, expected: str) -> None:
    """Raise UnsupportedMediaType if the Content-Type of a request is another than `expected`, or JSON is not in UTF-8.

    A browser lets any web page send a body of no type, or of that of a form, but asks the service about JSON.
    """
    if content_type is None:
        raise UnsupportedMediaType(f"Content-Type is missing: expected {expected}")
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    if media_type != expected:
        raise UnsupportedMediaType(f"Content-Type is {media_type[:100]!r}: expected {expected}")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "charset" and value.strip('"') not in UTF_8:
            raise UnsupportedMediaType(f"the charset of Content-Type is {value[:100]!r}: expected utf-8")


def parse_body(raw: bytes, limits: SizeLimits) -> Any:  # noqa: ANN401 - likewise
    """Parse a body, and check the sizes of a large one. Raises InvalidJson, InputTooLong, InvalidRequest."""
    return parse(raw) if len(raw) <= LARGE_BODY_BYTES else parse_large(raw, limits)


def parse_large(raw: bytes, limits: SizeLimits) -> Any:  # noqa: ANN401 - likewise
    """Parse a large body and check its sizes. Raises InvalidJson, InputTooLong, InvalidRequest."""
    body = parse_fast(raw)
    check_sizes(body, limits)
    return body


def parse_fast(raw: bytes) -> Any:  # noqa: ANN401 - likewise
    """Parse JSON as `parse` does, but faster if it is right."""
    try:
        if not LONG_INTEGER.search(raw):
            return from_json(raw, allow_inf_nan=False)
    except ValueError:
        pass  # the slower parser says where it is wrong
    return parse(raw)


def parse(raw: bytes) -> Any:  # noqa: ANN401 - likewise
    """Parse JSON in UTF-8. Raises InvalidJson, also for NaN and Infinity, which are not JSON."""
    if exceeds_depth(raw, MAX_DEPTH):
        raise InvalidJson(f"the body is nested too deeply to be read: expected at most {MAX_DEPTH} levels")
    try:
        return DECODER.decode(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidJson(f"the body is not UTF-8: byte {error.start} is 0x{raw[error.start]:02x}") from None
    except json.JSONDecodeError as error:
        raise InvalidJson(f"the body is not JSON: {error.msg} at line {error.lineno} column {error.colno}") from None


def _parse_int(digits: str) -> int | float:
    # Python refuses to parse integers of thousands of digits. As floats they reach the range check of their field.
    return int(digits) if len(digits) <= 400 else float(digits)


def _reject_constant(constant: str) -> NoReturn:
    raise InvalidJson(f"the body holds {constant}, which is not JSON: expected a finite number, or null")


DECODER = json.JSONDecoder(parse_constant=_reject_constant, parse_int=_parse_int)


async def validate_items(items: object, schema: type[Schema], client: str, slices: TurnSlices) -> list[Schema] | None:
    """Return the validated items of a client's list, or None if it is no list or one of them is invalid."""
    if not isinstance(items, list) or len(items) > MAX_ITEMS:
        return None
    validate_one = schema.__pydantic_validator__.validate_python
    with contextlib.suppress(ValidationError):
        return [await slices.run(client, partial(validate_one, item)) for item in items]
    return None


def validate(parsed: object, schema: type[Schema]) -> Schema:
    """Return the validated body. Raises InvalidRequest."""
    try:
        body: Schema = schema.__pydantic_validator__.validate_python(parsed)
    except ValidationError as error:  # FastAPI would validate it again on the event loop
        raise invalid_request(error) from None
    return body


def invalid_request(error: RequestValidationError | ValidationError) -> InvalidRequest:
    """Return the first of pydantic's errors as one that names the field, the value and what was expected."""
    first = error.errors()[0]
    field = _field(first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    kind = first["type"]
    if kind == "missing":
        return InvalidRequest(f"{field} is missing: expected it", param=field)
    if kind == "extra_forbidden":
        return InvalidRequest(f"{field} is not a field of this request: expected it to be left out", param=field)
    value, message = _excerpt(first.get("input")), EXPECTED.sub("expected it to", message)
    return InvalidRequest(f"{field} is {value}: {message[:1].lower()}{message[1:]}", param=field)


def _field(location: Sequence[str | int]) -> str:
    parts = [part for part in location if part not in {"body", "query", "path", "header"}]
    name = ""
    for part in parts:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
    return name or "body"


def _excerpt(value: object) -> str:
    text = ""
    try:
        for part in EXCERPT_ENCODER.iterencode(value):
            text += part
            if len(text) > MAX_EXCERPT:
                break
    except ValueError:
        text = str(value)
    return text if len(text) <= MAX_EXCERPT else text[: MAX_EXCERPT - 3] + "..."
