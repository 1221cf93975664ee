"""Scripts of steps whose answers are computed offline, from the same model folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.compare import Tolerances, differs
from tests.chaos.contents import OPTIONS, Words, body_of
from tests.chaos.replay import Bundled

MODEL = "next-word"
STEPS = 30
_TEXT = "the people of this country would like to have a cup of tea and some more time for work at home"
_WORDS = _TEXT.split()
#: Other requests in the batch change the order of float32 sums.
_TOLERANCES = Tolerances(probability=1e-4)


@dataclass(frozen=True, slots=True)
class Script:
    """The steps of one session: a body for each, its expected output, and the timesteps fed after it."""

    bodies: Sequence[dict[str, Any]]
    outputs: Sequence[dict[str, Any]]
    timesteps: Sequence[int]

    def violation(self, step: int, answer: dict[str, Any]) -> str | None:
        """Return why an answer to step `step` (from 0) is wrong, or None."""
        if answer.get("step") != step + 1:
            return f"step {step} was answered as step {answer.get('step')}"
        if answer.get("timesteps") != self.timesteps[step]:
            return f"step {step}: {answer.get('timesteps')} timesteps instead of {self.timesteps[step]}"
        return differs(self.outputs[step], answer["output"], _TOLERANCES)


def write_scripts(models: Path, count: int) -> list[Script]:
    """Run `count` different sessions on the model folder offline, and return them with what they answer."""
    network = Bundled.load(models / MODEL / "1", MODEL)
    return [_script(network, number) for number in range(count)]


def _script(network: Bundled, number: int) -> Script:
    standing, bodies, outputs, timesteps = network.start(None), [], [], []
    for step in range(STEPS):
        content = Words((_WORDS[(number * 5 + step * (number + 1)) % len(_WORDS)],))
        standing = network.after(standing, content)
        bodies.append(body_of(content, MODEL) | {"options": OPTIONS[MODEL], "step": step})
        outputs.append(standing.answer)
        timesteps.append(standing.timesteps)
    return Script(bodies, outputs, timesteps)
