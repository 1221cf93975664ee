"""Responses whose body is JSON that is encoded already. Those to steps tell the access log where sessions stand."""

import json
import re
from collections.abc import Awaitable, Sequence

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.application.sessions.serializers import StepResponse, encode
from service.domain.errors import UnrollError
from service.domain.operations import Json
from service.http.errors import envelope

#: Model and step in a StepResult or a Session. Within a text of JSON, the quotation marks would be escaped.
_STANDS = re.compile(rb'"model":"((?:[^"\\]++|\\.)*+)".*?"step":(\d+),"timesteps":')


class JsonResponse(Response):
    """A response with a JSON body. It skips what Starlette's does to find out the headers."""

    media_type = "application/json"

    def __init__(self, body: bytes, status_code: int = 200) -> None:
        self.status_code = status_code
        self.body = body
        self.background = None
        self.raw_headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]


class StepAnswer(JsonResponse):
    """The response to a step of one session."""

    def __init__(self, result: StepResponse) -> None:
        JsonResponse.__init__(self, result.body)
        if result.replayed:
            self.headers["Unroll-Replayed"] = "true"

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:  # type: ignore[override]
        scope["state"]["progress"] = self
        return JsonResponse.__call__(self, scope, receive, send)

    def progress(self) -> dict[str, Json]:
        """Return the model and the step of the session, as fields of a log line."""
        return progress_of(self.body)


class StepAnswers(JsonResponse):
    """The response to steps of many sessions."""

    def __init__(self, results: Sequence[StepResponse | UnrollError]) -> None:
        self._results = results
        parts = [encode(envelope(result)) if isinstance(result, UnrollError) else result.body for result in results]
        super().__init__(b'{"results":[' + b",".join(parts) + b"]}")

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:  # type: ignore[override]
        scope["state"]["progress"] = self
        return JsonResponse.__call__(self, scope, receive, send)

    def progress(self) -> dict[str, Json]:
        """Return how many of the steps succeeded, as a field of a log line."""
        return {"answered": sum(isinstance(result, StepResponse) for result in self._results)}


def progress_of(body: bytes | memoryview) -> dict[str, Json]:
    """Return the model and the step that a StepResult or a Session names."""
    found = _STANDS.search(body)
    if found is None:
        return {}
    model = found[1]
    return {"model": json.loads(b'"%b"' % model) if b"\\" in model else model.decode(), "step": int(found[2])}
