"""Clients of the service in the drill: threads that call it through the proxy as users do, whatever happens."""

import itertools
import math
import random
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

import httpx

from tests.server import KEPT_CONNECTIONS, Body

#: Text like that of the model's test data, and text that it is not for.
USUAL = (
    "I would like a cup of tea .", "Where is the station ?", "I do not want to go to school .", "I have no idea .",
    "What time is it ?", "She is a good teacher .", "He went to the hospital .", "Thank you very much .",
    "I am going to the movies with my friends .", "We have to go home now .", "It is raining .", "He is my brother .",
)  # fmt: skip
STRANGE = ("tea of the station very", "hospital idea going it", "friends would ? school", "now teacher . my with")
STEP = {"input": {"text": USUAL[0]}}
#: Half-hours in two weeks, which the forecaster reads before it is asked for more.
WARM_UP = 672
VALUES = 8
START = 1_420_416_000  # 2015-01-05, a Monday


def usual(index: int) -> float:
    """A made-up daily rhythm of passengers."""
    return 15_000 - 9_000 * math.cos((index % 48 - 8) * math.pi / 24)


class Load:
    """Clients in threads. `strange` makes them send what the models were not trained for."""

    def __init__(self, url: str, key: str, seed: int = 1) -> None:
        self.strange = False
        self.statuses: Counter[int] = Counter()
        self._url = url
        self._key = key
        self._seed = seed
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        roles = (self._write_texts, self._write_texts, self._observe, self._do_the_rest)
        for number, role in enumerate(roles):
            thread = threading.Thread(target=self._live, args=(role, self._seed + number), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)

    def client(self) -> httpx.Client:
        """A client of the service through the proxy; the caller closes it."""
        return httpx.Client(
            base_url=self._url,
            headers={"Authorization": f"Bearer {self._key}"},
            timeout=10,
            limits=KEPT_CONNECTIONS,
            event_hooks={"response": [lambda response: self.statuses.update([response.status_code])]},
        )

    def _live(self, role: Callable[[httpx.Client, random.Random], None], seed: int) -> None:
        """Play a role until the end; begin anew when something failed."""
        with self.client() as http:
            while not self._stopping.wait(0.2):
                try:
                    role(http, random.Random(seed))
                except (httpx.HTTPError, KeyError):
                    continue  # the drill breaks things on purpose

    def _pause(self, seconds: float) -> bool:
        return not self._stopping.wait(seconds)

    def _write_texts(self, http: httpx.Client, dice: random.Random) -> None:
        session = created(http, {"model": "next-word", "ttl_seconds": 60})
        for _ in itertools.takewhile(lambda _: self._pause(0.06), range(100)):
            text = dice.choice(STRANGE if self.strange else USUAL)
            succeed(http.post(f"/v1/sessions/{session}/steps", json={"input": {"text": text}}))
        http.delete(f"/v1/sessions/{session}")

    def _observe(self, http: httpx.Client, dice: random.Random) -> None:
        """Feed two weeks once, and continue from there in copies: a stream remembers for a week what it was fed."""
        base = created(http, {"model": "taxi-forecast", "ttl_seconds": 3600})
        observe(http, base, 0, [usual(index) for index in range(WARM_UP)])
        while not self._stopping.is_set():
            session, strange = succeed(http.post(f"/v1/sessions/{base}/fork"))["id"], self.strange
            for index in range(WARM_UP, WARM_UP + 20 * VALUES, VALUES):
                if not self._pause(0.12) or strange != self.strange:
                    break
                values = [dice.uniform(0, 40_000) if strange else usual(index + offset) for offset in range(VALUES)]
                observe(http, session, index, values)
            http.delete(f"/v1/sessions/{session}")

    def _do_the_rest(self, http: httpx.Client, dice: random.Random) -> None:
        session = created(http, {"model": "next-word", "ttl_seconds": 30})
        step = {"input": {"text": dice.choice(USUAL)}}
        for key in ("first", "first", "second"):  # the second request is a repetition
            succeed(http.post(f"/v1/sessions/{session}/steps", json=step, headers={"Idempotency-Key": key}))
        succeed(http.post("/v1/models/next-word/predict", json=step))
        options = {"max_tokens": 8, "stream": True, "seed": dice.randrange(100)}
        generation = {"input": {"text": "I would like"}, "options": options}
        with http.stream("POST", "/v1/models/next-word/generate", json=generation) as stream:
            stream.read()
        http.get("/v1/models/unknown")
        http.delete(f"/v1/sessions/{session}")


def created(http: httpx.Client, body: Body) -> str:
    """Create a session and return its id."""
    return str(succeed(http.post("/v1/sessions", json=body))["id"])


def observe(http: httpx.Client, session: str, index: int, values: list[float]) -> None:
    """Feed values of the half-hours from `index` on to a session."""
    times = [START + 1800 * (index + offset) for offset in range(len(values))]
    given = {"values": values, "timestamps": [rfc3339(seconds) for seconds in times]}
    succeed(http.post(f"/v1/sessions/{session}/steps", json={"input": given}))


def rfc3339(seconds: int) -> str:
    days, rest = divmod(seconds - START, 86_400)
    hours, rest = divmod(rest, 3600)
    return f"2015-01-{5 + days:02d}T{hours:02d}:{rest // 60:02d}:00Z"


def succeed(response: httpx.Response) -> Body:
    """Return the body of an answer. Raises HTTPError if it is an error."""
    body: Body = response.raise_for_status().json()
    return body
