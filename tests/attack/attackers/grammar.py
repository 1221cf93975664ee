"""A random grammar of JSON that is nearly a request: every production can yield its opposite."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass

TEXTS = [
    "",
    " ",
    "tea",
    "I would like",
    "\x00",
    "a\x00b",
    "\ud800",
    "a\udfff",
    "\U0001f600",
    "\u202eback\u202c",
    "a\u0301" * 60,
    "\ufeff",
    "\uffff",
    "\U0010ffff",
    ". " * 200,
    "\n\r\t\x0b\x1b\x7f\x85\u2028",
    "\u200d" * 50,
    "NaN",
    "../../etc/passwd",
    "%00%0a",
    "w" * 6000,
    "word " * 300,
    "<script>",
    "\ufdfa" * 40,
    "ses_" + "a" * 32,
]
NUMBERS = [
    "0",
    "-0",
    "-1",
    "1",
    "2",
    "0.5",
    "1.0",
    "1e400",
    "-1e400",
    "1e308",
    "5e-324",
    "NaN",
    "Infinity",
    "-Infinity",
    "9" * 400,
    "9" * 5000,
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "1e30",
    "0x10",
    "01",
    "1.",
    ".5",
    "+1",
    "1e",
    "1_000",
    "true",
    "null",
    '"5"',
    "[]",
    "{}",
    "1e5",
    "1e-400",
]
TIMES = [
    '{"start":"2015-01-05T00:00:00Z","step_seconds":1800}',
    '{"start":"9999-12-31T23:59:59Z","step_seconds":1e9}',
    '{"start":"0001-01-01T00:00:00+23:59","step_seconds":1}',
    '["2015-01-05T00:00:00Z"]',
    '["2015-02-30T00:00:00Z"]',
    '["2015-01-05T23:59:60Z"]',
    '["2015-01-05T00:00:00.1234567891Z"]',
    '["0001-01-01T00:00:00Z","9999-12-31T00:00:00Z"]',
]
MODELS = ["next-word", "translate-en-fr", "taxi-forecast"]
OPTIONS = [
    "top_k",
    "beam_size",
    "max_tokens",
    "horizon",
    "quantiles",
    "samples",
    "seed",
    "complete",
    "alternatives",
    "attention",
    "temperature",
    "top_p",
    "stop",
    "stream",
]
NAMES = [*MODELS, "%00", "..%2f..", "..", "%ED%A0%80", "a" * 3000, "NEXT-WORD", "next-word/..", "%F0%9F%98%80"]


@dataclass(slots=True)
class Grammar:
    """Sentences by chance; the same seed says the same. `sessions` are ids that exist."""

    choose: random.Random
    sessions: list[str]

    def request(self) -> tuple[str, str, str]:
        """Return a method, a path and the text of a body."""
        return self._one_of(
            self._predict, self._predict, self._create, self._step, self._fleet, self._patch, self._read
        )

    def _one_of(self, *productions: "Callable[[], tuple[str, str, str]]") -> tuple[str, str, str]:
        return self.choose.choice(productions)()

    def _maybe(self, fraction: float) -> bool:
        return self.choose.random() < fraction

    def text(self) -> str:
        return json.dumps(self.choose.choice(TEXTS), ensure_ascii=self._maybe(0.7))

    def number(self) -> str:
        return self.choose.choice(NUMBERS)

    def value(self, depth: int = 0) -> str:
        """Any JSON, at times nested deeper than parsers like."""
        kind = self.choose.randrange(6)
        if kind == 0 or depth > 3:
            return self.number()
        if kind == 1:
            return self.text()
        if kind == 2:
            levels = self.choose.choice([1, 10, 100, 900, 1000, 5000])
            return "[" * levels + "]" * levels
        items = [self.value(depth + 1) for _ in range(self.choose.randrange(4))]
        if kind == 3:
            return "[" + ",".join(items) + "]"
        return "{" + ",".join(f"{self.text()}:{item}" for item in items) + "}"

    def input(self) -> str:
        """The input of an operation, of any task."""
        productions: list[Callable[[], str]] = [
            lambda: f'{{"text":{self.text()}}}',
            lambda: f'{{"tokens":[{self._few(self.text)}]}}',
            lambda: f'{{"ids":[{self._few(self.number)}]}}',
            lambda: f'{{"values":[{self._few(self.number)}],"timestamps":{self.choose.choice(TIMES)}}}',
            lambda: f'{{"values":[{self._few(self.number)}],"timestamps":{self.value()}}}',
            lambda: f'{{"text":{self.text()},"target":{self.text()}}}',
            lambda: '{"text":"tea"}',
            self.value,
        ]
        return self.choose.choice(productions)()

    def _few(self, production: Callable[[], str]) -> str:
        return ",".join(production() for _ in range(self.choose.randrange(5)))

    def options(self) -> str:
        names = self.choose.sample(OPTIONS, self.choose.randrange(4))
        fields = [f'"{name}":{self.choose.choice([self.number, self.value])()}' for name in names]
        return "{" + ",".join(fields) + "}"

    def body(self) -> str:
        """The body of an operation, with fields that are wrong, missing or there twice."""
        inputs = f'"inputs":[{",".join(self.input() for _ in range(self.choose.randrange(4)))}]'
        fields = [f'"input":{self.input()}' if self._maybe(0.8) else inputs]
        optional = [f'"options":{self.options()}', f'"step":{self.number()}', f'"version":{self.text()}']
        fields += [field for field in optional if self._maybe(0.3)]
        fields += [f"{self.text()}:{self.value()}"] * self._maybe(0.1) + [fields[0]] * self._maybe(0.05)
        return "{" + ",".join(fields) + "}"

    def session(self) -> str:
        known = self.choose.choice(self.sessions) if self.sessions else "ses_none"
        strange = ["ses_" + "a" * 32, known[:-1], known.upper(), f"{known}a", "%00", "..%2f..", "x" * 3000, "%FF%FE"]
        return known if self._maybe(0.7) else self.choose.choice(strange)

    def _predict(self) -> tuple[str, str, str]:
        name = self.choose.choice(MODELS) if self._maybe(0.9) else self.choose.choice(NAMES)
        return "POST", f"/v1/models/{name}/{self.choose.choice(['predict', 'score', 'generate'])}", self.body()

    def _create(self) -> tuple[str, str, str]:
        fields = [f'"model":{json.dumps(self.choose.choice(MODELS)) if self._maybe(0.8) else self.text()}']
        for name in ("version", "ttl_seconds", "durability", "kept_steps"):
            fields += [f'"{name}":{self.value()}'] * self._maybe(0.3)
        fields += [f'"input":{self.input()}'] * self._maybe(0.4)
        return "POST", "/v1/sessions", "{" + ",".join(fields) + "}"

    def _step(self) -> tuple[str, str, str]:
        route = self.choose.choice(["steps", "steps", "predict", "generate", "fork", "reset"])
        short = f'{{"step":{self.number()},"ttl_seconds":{self.number()}}}'
        return "POST", f"/v1/sessions/{self.session()}/{route}", short if route in {"fork", "reset"} else self.body()

    def _fleet(self) -> tuple[str, str, str]:
        steps = []
        for _ in range(self.choose.randrange(4)):
            name = json.dumps(self.session()) if self._maybe(0.8) else self.text()
            key = f',"idempotency_key":{self.text()}' * self._maybe(0.3)
            steps.append(f'{{"session_id":{name},"input":{self.input()}{key}}}')
        return "POST", "/v1/sessions/steps", f'{{"steps":[{",".join(steps)}]}}'

    def _patch(self) -> tuple[str, str, str]:
        return "PATCH", f"/v1/sessions/{self.session()}", f'{{"ttl_seconds":{self.value()}}}'

    def _read(self) -> tuple[str, str, str]:
        session = self.session()
        paths = [
            f"/v1/sessions/{session}",
            f"/v1/sessions/{session}/state",
            f"/v1/models/{session}",
            "/v1/sessions?limit=-1",
            f"/v1/sessions?cursor={session}",
            "/v1/sessions?limit=1e9&model=%00",
            "//v1/models",
            "/v1/models;x",
            "/docs/../v1",
            "/metrics/x",
            "*",
            "/v1/models?%00",
        ]
        return self.choose.choice(["GET", "GET", "PUT", "OPTIONS", "HEAD", "TRACE"]), self.choose.choice(paths), ""
