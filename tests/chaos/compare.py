"""Whether an answer shows what the replay expects, number by number."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Output: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How far numbers may be off: probabilities, log-probabilities, forecasts in the units of the series."""

    probability: float = 1e-5
    logprob: float = 1e-4
    forecast: float = 0.0


def differs(expected: Output, found: Output, allowed: Tolerances) -> str | None:
    """What of an output is not as it must be; None where all is."""
    wrong = next(_differences(expected, found, allowed), None)
    return None if wrong is None else f"{wrong}: the answer is {_short(found)}, expected {_short(expected)}"


def _differences(expected: Output, found: Output, allowed: Tolerances) -> Iterator[str]:
    if "predictions" in expected and _other_predictions(expected["predictions"], found, allowed.probability):
        yield "predictions differ"
    if "tokens" in expected and expected["tokens"] != found.get("tokens"):
        yield "generated tokens differ"
    if "logprobs" in expected and not _near(expected["logprobs"], found.get("logprobs"), allowed.logprob):
        yield "log-probabilities differ"
    if "completion" in expected and _other_completion(expected["completion"], found, allowed.logprob):
        yield "completions differ"
    yield from _encoder_differences(expected, found, allowed)
    if "mean" in expected:
        for name, numbers in {"mean": expected["mean"], **expected["quantiles"]}.items():
            if not _near(numbers, found.get(name, found.get("quantiles", {}).get(name)), allowed.forecast):
                yield f"forecasts differ ({name})"


def _encoder_differences(expected: Output, found: Output, allowed: Tolerances) -> Iterator[str]:
    if "labels" in expected and _other_labels(expected["labels"], found.get("labels"), allowed.probability):
        yield "labels differ"
    if "tags" in expected and _other_tags(expected["tags"], found.get("tags"), allowed.probability):
        yield "tags differ"
    if "values" in expected and not _all_near(expected["values"], found.get("values"), allowed.forecast):
        yield "values differ"
    if "embedding" in expected and not _near(expected["embedding"], found.get("embedding"), allowed.probability):
        yield "embeddings differ"


def _other_predictions(expected: list[Output], output: Output, tolerance: float) -> bool:
    """Whether a listed probability differs; at the end of the lists, equals may stand for each other."""
    found = {one["token"]: one["probability"] for one in output["predictions"]}
    for one in expected:
        if one["token"] not in found and one["probability"] <= min(found.values()) + tolerance:
            continue
        if abs(found.get(one["token"], -1.0) - one["probability"]) > tolerance:
            return True
    return False


def _other_labels(expected: list[Output], found: list[Output] | None, tolerance: float) -> bool:
    """Whether the probability of a label differs; equals may be listed in any order."""
    own, other = ({one["label"]: one["probability"] for one in labels} for labels in (expected, found or []))
    return own.keys() != other.keys() or any(abs(own[label] - other[label]) > tolerance for label in own)


def _other_tags(expected: list[Output], found: list[Output] | None, tolerance: float) -> bool:
    """Whether the probability of a tag differs; one that is as probable may stand for it."""
    own, other = ([one["probability"] for one in tags] for tags in (expected, found or []))
    return not _near(own, other, tolerance)


def _all_near(expected: list[list[float]], found: list[list[float]] | None, tolerance: float) -> bool:
    if found is None or len(found) != len(expected):
        return False
    return all(_near(row, other, tolerance) for row, other in zip(expected, found, strict=True))


def _other_completion(expected: Output, output: Output, tolerance: float) -> bool:
    found = output["completion"]
    return bool(found["text"] != expected["text"] or abs(found["score"] - expected["score"]) > tolerance)


def _near(expected: Sequence[float], found: Sequence[float] | None, tolerance: float) -> bool:
    if found is None or len(found) != len(expected):
        return False
    return all(abs(one - other) <= tolerance for one, other in zip(expected, found, strict=True))


def _short(output: Output) -> str:
    return str({name: value for name, value in output.items() if name != "observed"})[:300]
