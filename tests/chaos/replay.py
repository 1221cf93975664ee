"""What the networks answer, offline: in plain arithmetic for the automaton, by service.tasks for bundled models."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from service.engine.catalogue import load_version
from service.engine.runner import AnyTask, outcome_of, run_timestep
from service.tasks.limits import TextLimits
from service.types import Json, Operation, Predict, PredictOptions, TextInput
from tests.chaos.automaton import Automaton

TOLERANCE = 1e-5
Output: TypeAlias = dict[str, Any]


class Network(Protocol):
    """A fold over words; states are values."""

    @property
    def start(self) -> Any: ...
    def after(self, state: Any, words: tuple[str, ...]) -> Any:
        """The state after some words."""

    def differs(self, state: Any, output: Output) -> str | None:
        """What of an answer is not as it must be in this state."""


@dataclass(frozen=True, slots=True)
class Exact:
    """The automaton: equal or wrong."""

    automaton: Automaton

    @property
    def start(self) -> int:
        return self.automaton.start

    def after(self, state: int, words: tuple[str, ...]) -> int:
        return self.automaton.after(state, words)

    def differs(self, state: int, output: Output) -> str | None:
        found = output["predictions"][0]["token"]
        return None if found == f"s{state}" else f"the answer is {found}, expected s{state}"


@dataclass(frozen=True, slots=True)
class Bundled:
    """A language model: probabilities within TOLERANCE. A state is its bytes, with the output that goes with it."""

    task: AnyTask

    @classmethod
    def load(cls, folder: Path) -> "Bundled":
        """Load a model folder. Raises ModelFolderError."""
        return cls(load_version(folder, TextLimits(4096, 1024)).task)

    @property
    def start(self) -> tuple[bytes, Output]:
        return self._run(self.task.to_bytes(self.task.initial_state), None)

    def after(self, state: tuple[bytes, Output], words: tuple[str, ...]) -> tuple[bytes, Output]:
        return self._run(state[0], TextInput(" ".join(words)))

    def differs(self, state: tuple[bytes, Output], output: Output) -> str | None:
        expected = state[1]["predictions"]
        found = {one["token"]: one["probability"] for one in output["predictions"]}
        for one in expected:
            if one["token"] not in found and one["probability"] <= min(found.values()) + TOLERANCE:
                continue
            if abs(found.get(one["token"], -1.0) - one["probability"]) > TOLERANCE:
                return f"the answer is {found}, expected {expected}"
        return None

    def _run(self, state: bytes, given: TextInput | None) -> tuple[bytes, dict[str, Json]]:
        operation: Operation = Predict(given, PredictOptions(top_k=3))
        sequence = self.task.start(operation, self.task.from_bytes(state))
        while not sequence.finished:
            (failure,) = run_timestep(self.task, [sequence])
            if failure is not None:
                raise failure
        outcome = outcome_of(self.task, sequence)
        return outcome.state, outcome.output
