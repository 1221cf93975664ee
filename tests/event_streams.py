"""Generations that are streamed as Server-Sent Events, read with httpx-sse."""

import json
from dataclasses import dataclass, field
from typing import Any

import httpx
from httpx_sse import connect_sse

from tests.server import Body


@dataclass
class Streamed:
    """A stream that was read to its end."""

    headers: httpx.Headers
    tokens: list[Body] = field(default_factory=list)
    done: Body | None = None
    error: Body | None = None

    @property
    def text(self) -> str:
        return "".join(token["text"] for token in self.tokens)

    @property
    def answer(self) -> Body:
        """The whole answer, after checks that the stream is well formed and that its tokens are those of the answer."""
        assert self.error is None, self.error
        assert self.done is not None
        output = self.done["output"]
        assert self.text == output["text"]
        assert [token["token"] for token in self.tokens] == output["tokens"]
        assert [token["logprob"] for token in self.tokens] == output["logprobs"]
        return self.done


def streaming(body: Body | None = None, **options: Any) -> Body:
    """Return the body of a generation that is streamed."""
    return {**(body or {}), "options": {"stream": True, **options}}


def stream(http: httpx.Client, path: str, body: object, **headers: str) -> Streamed:
    """Post a generation and read its events to the end."""
    with connect_sse(http, "POST", path, json=body, headers=headers) as source:
        assert source.response.status_code == 200, source.response.read()
        assert source.response.headers["content-type"] == "text/event-stream; charset=utf-8"
        streamed = Streamed(source.response.headers)
        for event in source.iter_sse():
            assert streamed.done is None, "an event behind the last one"
            assert streamed.error is None, "an event behind the last one"
            data = json.loads(event.data)
            if event.event == "token":
                assert set(data) == {"token", "text", "logprob"}
                streamed.tokens.append(data)
            elif event.event == "done":
                streamed.done = data
            else:
                assert event.event == "error"
                streamed.error = data["error"]
        return streamed
