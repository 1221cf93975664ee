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
    if "mean" in expected:
        for name, numbers in {"mean": expected["mean"], **expected["quantiles"]}.items():
            if not _near(numbers, found.get(name, found.get("quantiles", {}).get(name)), allowed.forecast):
                yield f"forecasts differ ({name})"


def _other_predictions(expected: list[Output], output: Output, tolerance: float) -> bool:
    """Whether a listed probability differs; at the end of the lists, equals may stand for each other."""
    found = {one["token"]: one["probability"] for one in output["predictions"]}
    for one in expected:
        if one["token"] not in found and one["probability"] <= min(found.values()) + tolerance:
            continue
        if abs(found.get(one["token"], -1.0) - one["probability"]) > tolerance:
            return True
    return False


def _other_completion(expected: Output, output: Output, tolerance: float) -> bool:
    found = output["completion"]
    return bool(found["text"] != expected["text"] or abs(found["score"] - expected["score"]) > tolerance)


def _near(expected: Sequence[float], found: Sequence[float] | None, tolerance: float) -> bool:
    if found is None or len(found) != len(expected):
        return False
    return all(abs(one - other) <= tolerance for one, other in zip(expected, found, strict=True))


def _short(output: Output) -> str:
    return str({name: value for name, value in output.items() if name != "observed"})[:300]
