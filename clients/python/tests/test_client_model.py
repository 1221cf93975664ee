"""Exactly once, against the real service: whatever breaks, and whenever the client dies, each step is applied once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from safetensors.numpy import load

import unroll_client
from breaking_proxy import BreakingProxy, Fault
from tests.server import Server
from unroll_client import Client, NextWords, RetryPolicy, Session, SessionInfo, session_flows
from unroll_client.flow import Flow
from unroll_client.opening_flows import resume
from unroll_client.pending import Advance

EAGER = RetryPolicy(max_attempts=3, initial_delay=0.002, max_delay=0.01)
TEMPORARY = (unroll_client.ConnectionFailed, unroll_client.Unavailable, unroll_client.ServerError)
KEPT_STEPS = 2
WORDS = ["Tom", "Mary", "like", "go home", "school .", "not very good"]


class Crash(Exception):
    """The client's process died."""


class Other(Enum):
    """Steps without input."""

    GENERATE = "generate"
    STREAM = "generate_stream"
    RESET = "reset"
    RESET_TO_KEPT = "reset to the step before, which the session keeps"


@dataclass(frozen=True)
class Move:
    """A step of this text, a generation, a streamed one or a reset, with its faults.

    The client dies before the result of a command with one of these numbers.
    """

    text: str | Other
    faults: tuple[Fault, ...]
    dies: tuple[int, ...]


MOVES = st.builds(
    Move,
    st.sampled_from([*WORDS, *Other]),
    st.lists(st.sampled_from(Fault), max_size=5).map(tuple),
    st.lists(st.integers(0, 6), max_size=2).map(tuple),
)


def run_until(flow: Flow[Any], commands: int | None) -> Any:
    """Run a flow; die instead of handing it the result of that command."""
    advance = partial(next, flow)
    while True:
        try:
            command = advance()
        except StopIteration as end:
            return end.value
        if commands == 0:
            flow.close()
            raise Crash
        commands = None if commands is None else commands - 1
        try:
            advance = partial(flow.send, command.run())
        except Exception as error:  # noqa: BLE001 - the flow decides
            advance = partial(flow.throw, error)


@dataclass
class Story:
    """One session under faults, driven by clients that die."""

    proxy: BreakingProxy
    file: Path
    answers: list[Advance] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client = Client(self.proxy.url, retry=EAGER, timeout=10)
        self.session: Session = self.client.create_session("tiny", kept_steps=KEPT_STEPS, save_to=self.file)

    def live(self, move: Move) -> None:
        """Make a move exactly once, over as many calls and clients as it takes."""
        self.proxy.faults.extend(move.faults)
        dies = list(move.dies)
        while True:
            try:
                answer = run_until(self._flow(move), dies.pop() if dies else None)
            except Crash:
                answer = self._resume(dies)
            except TEMPORARY:
                continue
            if answer is not None:
                self.answers.append(answer)
                return

    def _flow(self, move: Move) -> Flow[Advance]:
        if isinstance(move.text, str):
            return session_flows.step(self.session, move.text)
        if move.text is Other.GENERATE:
            return session_flows.generate(self.session, max_tokens=2, seed=len(self.answers))
        if move.text is Other.STREAM:
            return self._stream()
        return session_flows.reset(self.session, kept_step(move, len(self.answers)))

    def _stream(self) -> Flow[Advance]:
        stream = self.session.generate_stream(max_tokens=2, seed=len(self.answers))
        try:
            texts = []
            while (token := (yield from stream._next())) is not None:
                texts.append(token.text)
            assert stream.result is not None
            assert "".join(texts) == stream.result.output.text  # type: ignore[union-attr]
            return stream.result
        finally:
            stream._generation.end()  # a process that dies closes nothing

    def _resume(self, dies: list[int]) -> Advance | None:
        """Start again as a new process does, from the file; returns the answer to this move, if it was recovered."""
        while True:
            self.client.close()
            self.client = Client(self.proxy.url, retry=EAGER, timeout=10)
            try:
                self.session = run_until(resume(self.client, self.file), dies.pop() if dies else None)
            except (Crash, *TEMPORARY):
                continue
            (recovered,) = self.session.recovered or [None]
            return recovered if recovered is not None and recovered.step > len(self.answers) else None

    def state(self) -> dict[str, Any]:
        self.proxy.settle()
        info = self.session.info()
        return {"step": info.step, "timesteps": info.timesteps, **load(self.session.export_state())}


def kept_step(move: Move, steps: int) -> int | None:
    """The step to which a reset goes back: state 0, or the one before where there is one."""
    return max(0, steps - 1) if move.text is Other.RESET_TO_KEPT else None


def reference(url: str, moves: Sequence[Move]) -> tuple[list[Advance], dict[str, Any]]:
    """The answers and the state of a session that nothing happens to."""
    with Client(url) as client, client.create_session("tiny", kept_steps=KEPT_STEPS) as session:
        answers: list[Advance] = []
        for index, move in enumerate(moves):
            if isinstance(move.text, str):
                answers.append(session.step(move.text))
            elif move.text in {Other.RESET, Other.RESET_TO_KEPT}:
                answers.append(session.reset(kept_step(move, index)))
            else:
                answers.append(session.generate(max_tokens=2, seed=index))
        info = session.info()
        return answers, {"step": info.step, "timesteps": info.timesteps, **load(session.export_state())}


@pytest.fixture(scope="module")
def proxy(service: Server) -> Iterator[BreakingProxy]:
    with BreakingProxy(service.url) as running:
        yield running


def test_each_step_is_applied_once_and_in_order_whatever_breaks(
    service: Server, proxy: BreakingProxy, tmp_path: Path
) -> None:
    seen: set[Fault] = set()

    @hypothesis.settings(max_examples=25, deadline=None, derandomize=True, database=None)
    @hypothesis.given(st.lists(MOVES, min_size=1, max_size=8))
    def check(moves: list[Move]) -> None:
        proxy.settle()
        story = Story(proxy, tmp_path / "session.json")
        for move in moves:
            story.live(move)
            seen.update(move.faults)
        answers, state = reference(service.url, moves)
        found = story.state()
        assert [answer.step for answer in story.answers] == [answer.step for answer in answers]
        for own, other in zip(story.answers, answers, strict=True):
            assert outline(own) == outline(other)
        assert found.keys() == state.keys()
        for name, expected in state.items():
            assert found[name] == pytest.approx(expected, abs=1e-5), name
        story.session.delete()
        story.client.close()

    check()
    assert seen == set(Fault)


def outline(answer: Advance) -> tuple[object, ...]:
    """What is equal in two answers, whatever else was in their batches."""
    if isinstance(answer, SessionInfo):
        return answer.step, answer.timesteps
    output = answer.output
    if isinstance(output, NextWords):
        return answer.step, answer.timesteps, [round(item.probability, 4) for item in output.predictions]
    assert isinstance(output, unroll_client.Generated)
    return answer.step, answer.timesteps, output.text
