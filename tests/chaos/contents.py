"""What clients feed to the models: made by chance, written as a request's body, and read again by the replay."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from tests.chaos import automaton, conditioned, encoders

#: What a step of each model answers with, as little as tells its state.
OPTIONS: dict[str, dict[str, Any]] = {
    "adder": {"top_k": 1},
    "swapped": {"top_k": 1},
    "next-word": {"top_k": 3},
    "translate-en-fr": {"top_k": 3, "beam_size": 1},
    "taxi-forecast": {"horizon": 4},
    "checksum": {},
    **{name: {} for name in encoders.NAMES},
    **{name: {"top_k": 3} for name in conditioned.NAMES},
}
#: Models that have nothing to answer before their first observation, or after none.
NEEDS_INPUT = encoders.OF_NUMBERS | {"taxi-forecast", "checksum"}
_GENERATES_NOT = frozenset({"translate-en-fr", *encoders.NAMES})
SOURCES = (
    "I would like a cup of coffee.",
    "Where is the station?",
    "She did not want to go home.",
    "We are very happy to see you again.",
    "The children are playing in the garden.",
    "He has been working here for ten years.",
)
_WORDS: dict[str, tuple[str, ...]] = {
    "next-word": (
        "I",
        "you",
        "we",
        "like",
        "want",
        "have",
        "know",
        "think",
        "the",
        "a",
        "good",
        "house",
        "time",
        "not",
    ),
    "translate-en-fr": (
        "je",
        "tu",
        "nous",
        "la",
        "le",
        "une",
        "est",
        "pas",
        "très",
        "dans",
        "maison",
        "heureux",
        "gare",
    ),
    encoders.CLASSIFICATION: encoders.FED_WORDS,
    encoders.EMBEDDING: encoders.FED_WORDS,
    **dict.fromkeys(conditioned.NAMES, conditioned.FED_WORDS),
}
_FIRST_HALF_HOUR = datetime(2015, 1, 5, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Words:
    """Words to feed."""

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Generation:
    """Words to feed, if any, and how many tokens to generate behind them, always the most probable one."""

    texts: tuple[str, ...]
    tokens: int


@dataclass(frozen=True, slots=True)
class Series:
    """Observations, half an hour apart, the first one so many half hours after the beginning."""

    start: int
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """Observations of three numbers, without times."""

    values: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers for a graph, one for each timestep."""

    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reset:
    """Nothing to feed: back to state 0, or to a step that the session keeps."""

    step: int | None = None


Content: TypeAlias = Words | Generation | Series | Rows | Numbers | Reset


def choose_opening(model: str, luck: random.Random) -> dict[str, Any] | None:
    """What a session of the model is created with, if it needs something."""
    if model == "translate-en-fr":
        return {"text": luck.choice(SOURCES)}
    return {"vector": conditioned.choose_vector(luck)} if model in conditioned.NAMES else None


def choose(model: str, luck: random.Random, serial: int, *, generate: bool = True) -> Content:
    """Something to feed; `serial` grows with every call for a client, and orders its observations."""
    if model == "taxi-forecast":
        values = [None if luck.random() < 0.1 else round(luck.uniform(2e3, 3e4), 1) for _ in range(luck.randint(1, 3))]
        return Series(3 * serial, tuple(values))
    if model == "checksum":
        return Numbers(tuple(luck.randint(1, 60) for _ in range(luck.randint(1, 3))))
    if model in encoders.OF_NUMBERS:
        return Rows(tuple(_row(luck) for _ in range(luck.randint(1, 3))))
    texts = tuple(luck.choices(_WORDS.get(model, automaton.WORDS), k=luck.randint(1, 3)))
    if generate and model not in _GENERATES_NOT and luck.random() < 0.1:
        return Generation(texts if luck.random() < 0.5 else (), luck.randint(1, 3))
    return Words(texts)


def _row(luck: random.Random) -> tuple[float | None, ...]:
    return tuple(None if luck.random() < 0.1 else round(luck.uniform(0, 12), 2) for _ in range(3))


def body_of(content: Content, model: str) -> dict[str, Any]:
    """The request's body."""
    match content:
        case Words(texts):
            return {"input": {"text": " ".join(texts)}, "options": OPTIONS[model]}
        case Generation(texts, tokens):
            given = {"input": {"text": " ".join(texts)}} if texts else {}
            return given | {"options": {"max_tokens": tokens, "temperature": 0}}
        case Reset(step):
            return {} if step is None else {"step": step}
        case Numbers(numbers):
            return {"input": {"tensors": {"x": [[number] for number in numbers]}, "steps": True}}
        case Rows(values):
            return {"input": {"values": [[*row] for row in values]}, "options": OPTIONS[model]}
        case Series(start, values):
            first = _FIRST_HALF_HOUR + timedelta(minutes=30 * start)
            times = {"start": first.isoformat(), "step_seconds": 1800}
            return {"input": {"values": list(values), "timestamps": times}, "options": OPTIONS[model]}


def route_of(content: Content) -> str:
    """The end of the path that takes it."""
    if isinstance(content, Reset):
        return "reset"
    return "generate" if isinstance(content, Generation) else "steps"
