"""What the networks answer, run offline: one sequence at a time, word after word, without sessions or batches."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from service.domain.operations import Generate, GenerateOptions, Operation, Predict, PredictOptions, Score, TextInput
from service.engine.loaded_models import LoadedModel, load_version
from service.engine.runner import outcome_of, run_timestep
from service.tasks.limits import TextLimits

Words = tuple[str, ...]
LIMITS = TextLimits(4096, 1024)


@dataclass(eq=False)
class Oracle:
    """One model version; states and answers are remembered by the words fed so far."""

    folder: Path
    loaded: LoadedModel = field(init=False)
    _states: dict[Words, Tensor] = field(default_factory=dict)
    _known: dict[object, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.loaded = load_version(self.folder, LIMITS)
        self._states[()] = self.loaded.task.initial_state

    def predicted(self, words: Words, top_k: int) -> dict[str, Any]:
        """The output of predict after `words`; nothing is observed."""
        return self._told("predict", words, Predict(None, PredictOptions(top_k=top_k)))

    def scored(self, words: Words, new: int) -> list[dict[str, Any]]:
        """How probable the last `new` of `words` were, one by one."""
        return [
            self._told("score", words[:at], Score(TextInput(tokens=words[at : at + 1])))
            for at in range(len(words) - new, len(words))
        ]

    def generated(self, words: Words, max_tokens: int, seed: int) -> dict[str, Any]:
        """What follows `words`: greedily with seed 0, else drawn."""
        options = GenerateOptions(max_tokens, 1.0 if seed else 0.0, seed=seed or None)
        return self._told("generate", words, Generate(None, options))

    def _told(self, kind: str, words: Words, operation: Operation) -> dict[str, Any]:
        what = (kind, words, operation)
        if what not in self._known:
            sequence = self._ran(operation, self._state(words))
            self._known[what] = outcome_of(self.loaded.task, sequence).output
        return self._known[what]

    def _state(self, words: Words) -> Tensor:
        """The network's state after `words`."""
        known = len(words)
        while words[:known] not in self._states:
            known -= 1
        for at in range(known, len(words)):
            fed = Predict(TextInput(tokens=words[at : at + 1]))
            self._states[words[: at + 1]] = self._ran(fed, self._states[words[:at]]).state
        return self._states[words]

    def _ran(self, operation: Operation, state: Tensor) -> Any:
        sequence = self.loaded.task.start(operation, state)
        while not sequence.finished:
            assert run_timestep(self.loaded.task, [sequence]) == [None]
        return sequence
