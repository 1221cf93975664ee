"""Streams of steps of many sessions on the real service: each step is applied once, whatever breaks."""

import socket
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from safetensors.numpy import load

from breaking_proxy import BreakingProxy, Fault
from test_client_model import EAGER, TEMPORARY, WORDS, Crash, Move, outline, reference, run_until
from test_client_model import proxy as proxy  # noqa: PLC0414 - a fixture
from tests.server import Server
from unroll_client import Client, PoolStream, SessionPool, StepResult, UnrollError, pool_stream
from unroll_client.opening_flows import resume
from unroll_client.pool_stream import NamedResult
from unroll_client.sockets import CloseSocket

NAMES = ("a", "b", "c")
#: The sessions are stepped in turns, as those of a fleet of sensors are.
STEPS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(WORDS)), min_size=1, max_size=20)


class PoolStory:
    """Three sessions whose steps go over one WebSocket under faults, driven by clients that die."""

    def __init__(self, proxy: BreakingProxy, folder: Path, window: int, dies: Sequence[int | None]) -> None:
        self.proxy, self.folder, self.window, self.dies = proxy, folder, window, list(dies)
        self.answers: dict[tuple[str, int], StepResult] = {}
        self.client = Client(proxy.url, retry=EAGER, timeout=10)
        sessions = {name: self.client.create_session("tiny", save_to=self._file(name)) for name in NAMES}
        self.pool: SessionPool = self.client.pool(sessions)

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def live(self, steps: Sequence[tuple[str, str]]) -> None:
        """Feed all steps, over as many streams and clients as it takes."""
        texts = {name: [text for own, text in steps if own == name] for name in NAMES}
        while any(self.pool[name].step_count < len(texts[name]) for name in NAMES):
            stream = self.pool.stream(window=self.window)
            try:
                self._feed(stream, steps)
            except Crash:
                self._die(stream)
                self._resume()
            else:
                stream.close()
                self._recover()

    def _feed(self, stream: PoolStream, steps: Sequence[tuple[str, str]]) -> None:
        """Send the steps that are missing; what fails, is left to the next stream."""
        missing, failed = {name: self.pool[name].step_count for name in NAMES}, set[str]()
        for name, text in steps:
            missing[name] -= 1
            if missing[name] < 0 and name not in failed:
                run_until(pool_stream.send(stream, name, text), self._death())
            while stream._results or stream.under_way >= self.window:
                self._note(run_until(pool_stream.receive(stream), self._death()), failed)
        while stream.under_way:
            self._note(run_until(pool_stream.receive(stream), self._death()), failed)

    def _death(self) -> int | None:
        """After how many commands the client dies, if it does. Each number counts for one call."""
        return self.dies.pop() if self.dies else None

    def _note(self, named: NamedResult, failed: set[str]) -> None:
        name, result = named
        if isinstance(result, StepResult):
            self.answers[name, result.step] = result
        elif isinstance(result, UnrollError):
            assert isinstance(result, TEMPORARY), result
            failed.add(name)

    def _recover(self) -> None:
        while any(session.pending for session in self.pool.values()):
            for name, result in self.pool.recover().items():
                self._note((name, result), set())

    def _resume(self) -> None:
        self.client.close()
        self.client = Client(self.proxy.url, retry=EAGER, timeout=10)
        for name in NAMES:
            while True:
                try:
                    self.pool[name] = run_until(resume(self.client, self._file(name)), self._death())
                except (Crash, *TEMPORARY):
                    continue
                for answer in self.pool[name].recovered:
                    self._note((name, answer), set())  # type: ignore[arg-type]
                break

    def _die(self, stream: PoolStream) -> None:
        if stream._socket is not None:
            with suppress(OSError):  # the proxy may have closed it
                stream._socket.connection.socket.shutdown(socket.SHUT_RDWR)
            CloseSocket(stream._socket).run()

    def state(self, name: str) -> dict[str, Any]:
        self.proxy.settle()
        info = self.pool[name].info()
        return {"step": info.step, "timesteps": info.timesteps, **load(self.pool[name].export_state())}


def test_a_stream_of_a_pool_continues_without_loss_or_double(
    service: Server, proxy: BreakingProxy, tmp_path: Path
) -> None:
    seen: Counter[str] = Counter()

    @hypothesis.settings(max_examples=30, deadline=None, derandomize=True, database=None)
    @hypothesis.given(
        STEPS,
        st.lists(st.sampled_from(Fault), max_size=12),
        st.lists(st.one_of(st.none(), st.integers(0, 6)), max_size=16),
        st.sampled_from([1, 3, 16]),
    )
    def check(steps: list[tuple[str, str]], faults: list[Fault], dies: list[int | None], window: int) -> None:
        proxy.settle()
        story = PoolStory(proxy, tmp_path, window, dies)
        proxy.faults.extend(faults)
        story.live(steps)
        for name in NAMES:
            moves = [Move(text, (), ()) for own, text in steps if own == name]
            answers, state = reference(service.url, moves)
            found = story.state(name)
            for answer in answers:
                if (name, answer.step) in story.answers:
                    assert outline(story.answers[name, answer.step]) == outline(answer)
                elif window == 1 and not dies:
                    raise AssertionError(f"the answer of step {answer.step} of {name} was lost")
            for tensor, expected in state.items():
                assert found[tensor] == pytest.approx(expected, abs=1e-5), (name, tensor)
        seen.update(answers=len(story.answers))
        for session in story.pool.values():
            session.delete()
        story.client.close()

    check()
    assert seen["answers"]
