"""What the recorded sessions do: every task, every way to make a step repeatable, every way to be opened."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.compatibility.recording import Request

WORDS, TRANSLATOR, SENSOR = "next-word", "translate-en-fr", "taxi-forecast"
SOURCE = "I don't know what to do!"
_START = datetime(2026, 3, 2, 8, tzinfo=UTC)
_FORECAST = {"horizon": 4, "quantiles": [0.05, 0.5, 0.95]}
#: More rows than the forecaster remembers.
_ROWS = 400


@dataclass(frozen=True)
class Story:
    """A session's opening, its steps up to the recording and those after it."""

    name: str
    opening: Request
    so_far: tuple[Request, ...]
    next: tuple[Request, ...]
    exported: bool = False
    ended: bool = False
    guarded: bool = False


def opened(model: str, key: str | None = None, **fields: object) -> Request:
    """The creation of a session."""
    return Request(path="/v1/sessions", body={"model": model, **fields}, key=key)


def stepped(
    given: dict[str, Any], key: str | None = None, step: int | None = None, options: dict[str, Any] | None = None
) -> Request:
    """A step with this input, repeatable by a key, by the step that it expects, by both or not at all."""
    body = {"input": given, "options": options, "step": step}
    return Request(
        path="/v1/sessions/{id}/steps",
        body={name: value for name, value in body.items() if value is not None},
        key=key,
    )


def words(text: str, key: str | None = None, step: int | None = None, **options: object) -> Request:
    """A step of words."""
    return stepped({"text": text}, key, step, options or None)


def observations(first: int, count: int, key: str | None = None, step: int | None = None, **options: object) -> Request:
    """A step of taxi rides, half an hour each; one in the middle is missing where there are many."""
    values: list[float | None] = [round(15_000 + 6_000 * math.sin(at / 7), 1) for at in range(first, first + count)]
    if count > 2:
        values[count // 2] = None
    times = {"start": _time(first), "step_seconds": 1800}
    return stepped({"values": values, "timestamps": times}, key, step, _FORECAST | options)


def _time(at: int) -> str:
    return (_START + timedelta(minutes=30 * at)).isoformat().replace("+00:00", "Z")


def stories() -> list[Story]:
    """The sessions that are opened from nothing."""
    return [*_of_words(), *_of_translators(), *_of_sensors()]


def fork_of_keyed_words(session: str) -> Story:
    """A session that is forked from a kept step of another one."""
    return Story(
        "words forked",
        Request(path=f"/v1/sessions/{session}/fork", body={"step": 3, "ttl_seconds": 7200}, key="fork"),
        (words("in the morning", "fork-0", top_k=3),),
        (words("when it is cold", step=4), words("outside", "fork-2")),
    )


def import_of_keyed_sensor(file: bytes) -> Story:
    """A session that came out of a state file."""
    return Story(
        "sensor imported",
        Request(path="/v1/sessions/import?ttl_seconds=7200&kept_steps=2", file=file, key="import"),
        (observations(9, 2, "import-0"), observations(11, 1, step=5)),
        (observations(12, 1), observations(13, 2, "import-3")),
    )


def _of_words() -> list[Story]:
    later = (words("of them all", top_k=10), words("as we did before", "later"))
    generate = Request(
        path="/v1/sessions/{id}/generate",
        body={"options": {"max_tokens": 4, "temperature": 0, "top_k": 50, "seed": 7, "stop": ["!"]}},
        key="generate",
    )
    return [
        Story(
            "words by key",
            opened(WORDS, "words", ttl_seconds=86_400, kept_steps=3),
            (
                words("I would like", "words-0"),
                stepped({"tokens": ["to", "have", "a"]}, "words-1", options={"top_k": 7}),
                stepped({"ids": [20, 30, 40]}, "words-2", 2),
                words("cup of", "words-3"),
                words("tea", "words-4", 4, top_k=20),
            ),
            later,
            exported=True,
        ),
        Story(
            "words by step",
            opened(WORDS, durability="fsynced", kept_steps=1),
            (words("How are", step=0), words("you doing", step=1, top_k=3)),
            later,
        ),
        Story("words once", opened(WORDS, version="1"), (words("It was"), words("the best")), later),
        Story("words generated", opened(WORDS), (words("She said that", "said"), generate), later),
        Story("words untouched", opened(WORDS), (), later),
        Story("words ended", opened(WORDS, "ended"), (words("Good bye", "bye"),), (), ended=True),
        Story("words of a tenant", opened(WORDS, "tenant"), (words("Our own", "own"),), later, guarded=True),
    ]


def _of_translators() -> list[Story]:
    source = {"text": SOURCE}
    options = {"top_k": 3, "beam_size": 2, "max_tokens": 30}
    return [
        Story(
            "translator by key",
            opened(TRANSLATOR, "translator", input=source, kept_steps=2),
            (words("Je", "mt-0"), words("ne sais", "mt-1", **options), words("pas", "mt-2", 2, top_k=4)),
            (words("quoi", **options), words("faire", "mt-4")),
            exported=True,
        ),
        Story(
            "translator by step",
            opened(TRANSLATOR, input={"text": "The cat is black."}),
            (words("Le", step=0), words("chat", step=1)),
            (words("est", step=2), words("noir", "black")),
        ),
        Story("translator untouched", opened(TRANSLATOR, input=source), (), (words("Je ne"), words("sais", "know"))),
    ]


def _of_sensors() -> list[Story]:
    sampled = {"samples": 2, "seed": 7}
    return [
        Story(
            "sensor by key",
            opened(SENSOR, "sensor", kept_steps=2),
            (
                observations(0, 4, "sensor-0"),
                observations(4, 1, "sensor-1", **sampled),
                observations(5, 3, "sensor-2"),
                observations(8, 1, "sensor-3", 3),
            ),
            (observations(9, 1), observations(10, 2, "sensor-5", **sampled)),
            exported=True,
        ),
        Story(
            "sensor by step",
            opened(SENSOR),
            (
                observations(0, _ROWS, step=0),
                stepped({"values": [[9000], [9500]], "timestamps": [_time(_ROWS), _time(_ROWS + 1)]}, step=1),
            ),
            (observations(_ROWS + 2, 1, step=2), observations(_ROWS + 3, 3, "sensor-3")),
        ),
    ]
