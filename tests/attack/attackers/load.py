"""Loads of valid requests: many connections that each send the same request again and again."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tests.attack.attackers.base import FAILURES, Tally, Target
from tests.attack.wire import pack

PREDICT = "/v1/models/next-word/predict"
GENERATE = "/v1/models/next-word/generate"
SCORE = "/v1/models/next-word/score"
TRANSLATE = "/v1/models/translate-en-fr/predict"
FORECAST = "/v1/models/taxi-forecast/predict"
_SENTENCE = "The old man walked slowly along the river and thought about all the years that he had spent there"
_SERIES = {"values": [9000], "timestamps": {"start": "2015-01-05T00:00:00Z", "step_seconds": 1800}}
_BEAMS = {"beam_size": 16, "alternatives": 15}
_ROWS = {"values": [9000] * 3000, "timestamps": {"start": "2015-01-05T00:00:00Z", "step_seconds": 1800}}


@dataclass(frozen=True)
class Load:
    """So many connections in a closed loop. A `body` of str is sent as it stands, anything else as JSON."""

    name: str
    path: str
    body: object
    connections: int
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    family: str = "load"

    @cached_property
    def content(self) -> object:
        return self.body.encode() if isinstance(self.body, str) else self.body

    async def run(self, target: Target, tally: Tally) -> None:
        request = pack(self.method, self.path, self.content, target.key, self.headers)
        async with asyncio.TaskGroup() as group:
            for _ in range(target.scaled(self.connections) if self.connections > 8 else self.connections):
                group.create_task(self._repeat(request, target, tally))

    async def _repeat(self, request: bytes, target: Target, tally: Tally) -> None:
        connection = target.connection()
        try:
            while tally.running():
                try:
                    response = tally.note(await connection.send(request), self.name)
                except FAILURES as error:
                    tally.fail(error)
                    await asyncio.sleep(0.05)
                    continue
                if response.status in {429, 503}:
                    # A hostile client does not wait for as long as Retry-After says, but it has only one processor.
                    await asyncio.sleep(0.005)
        finally:
            connection.close()


def _filled(before: str, unit: str, after: str, size: int = 1_040_000) -> str:
    """Repeat a piece of JSON until the body has about `size` bytes."""
    return before + unit * ((size - len(before) - len(after)) // len(unit.encode())) + after


def loads() -> list[Load]:
    """Loads of each kind of request; `allowed` are those just below the limits of one request."""
    many_ids = json.dumps({"inputs": [{"ids": [1] * 4096}] * 125}, separators=(",", ":"))
    short = {"inputs": [{"text": "tea"}] * 1024}
    long_text = {"input": {"text": f"{_SENTENCE}. " * 40}, "options": _BEAMS}
    paths = {"inputs": [_SERIES] * 1024, "options": {"samples": 1000}}
    quantiles = {"inputs": [_SERIES] * 256, "options": {"quantiles": [round(n / 100, 2) for n in range(1, 100)]}}
    generation = {"input": {"text": "I"}, "options": {"max_tokens": 1024, "temperature": 2}}
    allowed_paths = {"inputs": [_SERIES] * 20, "options": {"samples": 1000, "horizon": 48}}
    allowed_quantiles = {"inputs": [_SERIES] * 200, "options": quantiles["options"]}
    allowed_text = {"input": {"text": f"{_SENTENCE}. " * 600}}
    allowed_tokens = {"inputs": [{"tokens": ["tea"] * 4000}] * 32}
    return [
        Load("predictions", PREDICT, {"input": {"text": "tea"}}, 256),
        Load("generations", GENERATE, generation, 200),
        Load("beams", TRANSLATE, long_text, 64),
        Load("megabytes", PREDICT, many_ids, 3),
        Load("tokens", PREDICT, _filled('{"input":{"tokens":[1', ",1", "]}}"), 3),
        Load("words", PREDICT, _filled('{"input":{"tokens":["a"', ',"a"', "]}}"), 3),
        Load("dots", TRANSLATE, _filled('{"input":{"text":"', ". ", '"}}'), 3),
        Load("paths", FORECAST, paths, 4),
        Load("path", FORECAST, {"input": _SERIES, "options": {"samples": 1000, "horizon": 48}}, 64),
        Load("allowed-paths", FORECAST, allowed_paths, 16),
        Load("allowed-quantiles", FORECAST, allowed_quantiles, 16),
        Load("allowed-text", TRANSLATE, allowed_text, 16),
        Load("allowed-tokens", PREDICT, allowed_tokens, 16),
        Load("scrapes", "/metrics", None, 64, method="GET"),
        Load("texts", PREDICT, short, 32),
        Load("combining", PREDICT, _filled('{"input":{"text":"', "a\u0301\u0323", '"}}'), 3),
        Load("one-word", TRANSLATE, _filled('{"input":{"text":"', "q", '"}}'), 3),
        Load("escapes", SCORE, _filled('{"input":{"text":"', "\\u0041 ", '"}}'), 3),
        Load("quantiles", FORECAST, quantiles, 16),
        Load("rows", FORECAST, {"inputs": [_ROWS] * 60}, 8),
        Load("scores", SCORE, {"inputs": [{"text": f"{_SENTENCE} " * 30}] * 64}, 16),
        Load("attention", TRANSLATE, {"input": {"text": _SENTENCE}, "options": {"attention": True}}, 32),
        Load("nesting", PREDICT, _filled('{"input":', "[", "1}", 900_000), 3),
        Load("fields", PREDICT, _filled('{"input":{"text":"tea"}', ',"x":1', "}"), 3),
        Load("numbers", FORECAST, _filled('{"input":{"values":[1', ",1e5", "]}}"), 3),
        Load("contract", "/openapi.json", None, 64, method="GET"),
        Load("listing", "/v1/sessions?limit=1000", None, 64, method="GET"),
    ]
