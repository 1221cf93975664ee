"""What the networks answer, offline: in plain arithmetic for the automaton, by service.tasks for bundled models."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from service.domain.operations import OpenSession, Operation, Outcome
from service.engine.loaded_models import load_version
from service.engine.runner import run_operation
from service.http.schemas.requests import CreateSession, LookBody, SessionGenerateBody, StepBody
from service.tasks.base import AnyTask
from service.tasks.limits import TextLimits
from tests.chaos.automaton import Automaton
from tests.chaos.compare import Output, Tolerances, differs
from tests.chaos.contents import OPTIONS, Content, Generation, Words, body_of

_SCALED_UNITS = 1e-5


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a session stands after a step: the state, the timesteps fed, and what that step's answer must show."""

    state: Any
    timesteps: int
    answer: Output


class Network(Protocol):
    """A fold over contents; states are values."""

    def start(self, opening: dict[str, Any] | None) -> Standing:
        """Where a session begins that was created with this input, if any: a source, or a vector."""

    def after(self, standing: Standing, content: Content) -> Standing:
        """Where the session stands after a step."""

    def look(self, standing: Standing, content: Content | None) -> Output:
        """What a look ahead must show."""

    def differs(self, expected: Output, found: Output) -> str | None:
        """What of an answer is not as it must be."""


@dataclass(frozen=True, slots=True)
class Exact:
    """The automaton: equal or wrong."""

    automaton: Automaton

    def start(self, opening: dict[str, Any] | None) -> Standing:
        return Standing(self.automaton.start, 0, _shows(self.automaton.start))

    def after(self, standing: Standing, content: Content) -> Standing:
        match content:
            case Words(texts):
                state = self.automaton.after(standing.state, texts)
                return Standing(state, standing.timesteps + len(texts), _shows(state))
            case Generation(texts, tokens):
                chosen, state = self.automaton.generate(self.automaton.after(standing.state, texts), tokens)
                return Standing(state, standing.timesteps + len(texts) + tokens, {"tokens": chosen})
        raise ValueError(f"{content} is nothing for an automaton")

    def look(self, standing: Standing, content: Content | None) -> Output:
        return _shows(standing.state) if content is None else self.after(standing, content).answer

    def differs(self, expected: Output, found: Output) -> str | None:
        return None if _names(found) == _names(expected) else f"the answer is {_names(found)}, not {_names(expected)}"


def _shows(state: int) -> Output:
    return {"predictions": [{"token": f"s{state}"}]}


def _names(output: Output) -> list[str]:
    return output.get("tokens") or [one["token"] for one in output["predictions"]]


@dataclass(frozen=True, slots=True)
class Bundled:
    """A model folder, through the request's own schemas and the task. A state is its bytes."""

    name: str
    task: AnyTask
    tolerances: Tolerances

    @classmethod
    def load(cls, folder: Path, name: str) -> "Bundled":
        """Load a model folder. Raises ModelFolderError."""
        task = load_version(folder, TextLimits(4096, 1024)).task
        scaled = folder / "preprocessor.json"
        scale = max(json.loads(scaled.read_bytes())["scale"]) if scaled.exists() else 0.0
        return cls(name, task, Tolerances(forecast=_SCALED_UNITS * scale))

    def start(self, opening: dict[str, Any] | None) -> Standing:
        if opening is None:
            return Standing(self.task.state_codec.to_bytes(self.task.initial_state), 0, {})
        given = CreateSession.model_validate({"model": self.name, "input": opening}).to_domain()
        return Standing(self._run(OpenSession(given.input), self.task.initial_state).state, 0, {})

    def after(self, standing: Standing, content: Content) -> Standing:
        outcome = self._at(standing, self._operation(content))
        return Standing(outcome.state, standing.timesteps + outcome.timesteps, outcome.output)

    def look(self, standing: Standing, content: Content | None) -> Output:
        look = LookBody.model_validate({"options": OPTIONS[self.name]}).to_domain()
        return self._at(standing, look if content is None else self._operation(content)).output

    def differs(self, expected: Output, found: Output) -> str | None:
        return differs(expected, found, self.tolerances)

    def _operation(self, content: Content) -> Operation:
        body = body_of(content, self.name)
        if isinstance(content, Generation):
            return SessionGenerateBody.model_validate(body).to_domain()
        return StepBody.model_validate(body).to_domain("", None).operation

    def _at(self, standing: Standing, operation: Operation) -> Outcome:
        return self._run(operation, self.task.state_codec.from_bytes(standing.state))

    def _run(self, operation: Operation, state: Any) -> Outcome:
        return run_operation(self.task, operation, state)
