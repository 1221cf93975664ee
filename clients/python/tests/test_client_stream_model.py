"""Streams of steps on the real service: each step is applied once, whatever breaks and whenever the client dies."""

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
from unroll_client import AnswerLost, Client, StepResult, session_stream
from unroll_client.opening_flows import resume
from unroll_client.session_stream import Result, SessionStream
from unroll_client.sockets import CloseSocket


class StreamStory:
    """One session whose steps go over WebSockets under faults, driven by clients that die."""

    def __init__(self, proxy: BreakingProxy, file: Path, window: int, dies: Sequence[int]) -> None:
        self.proxy, self.file, self.window, self.dies = proxy, file, window, list(dies)
        self.answers: dict[int, StepResult] = {}
        self.client = Client(proxy.url, retry=EAGER, timeout=10)
        self.session = self.client.create_session("tiny", save_to=file)

    def live(self, texts: Sequence[str]) -> None:
        """Feed all texts, over as many streams and clients as it takes."""
        while self.session.step_count < len(texts):
            stream: SessionStream | None = None
            try:
                stream = self.session.stream(window=self.window)
                self._feed(stream, texts)
            except Crash:
                self._die(stream)
                self._resume()
            except TEMPORARY:
                stream.close()
                self._recover()

    def _feed(self, stream: SessionStream, texts: Sequence[str]) -> None:
        for text in texts[self.session.step_count :]:
            run_until(session_stream.send(stream, text), self._death())
            if stream.under_way >= self.window:
                self._note(run_until(session_stream.receive(stream), self._death()))
        while stream.under_way:
            self._note(run_until(session_stream.receive(stream), self._death()))
        stream.close()

    def _death(self) -> int | None:
        """After how many commands the client dies, if it does. Each number counts for one call."""
        return self.dies.pop() if self.dies else None

    def _note(self, result: Result) -> None:
        if not isinstance(result, AnswerLost):
            self.answers[result.step] = result

    def _recover(self) -> None:
        while True:
            try:
                for answer in self.session.recover():
                    self._note(answer)
                return
            except TEMPORARY:
                continue

    def _resume(self) -> None:
        while True:
            self.client.close()
            self.client = Client(self.proxy.url, retry=EAGER, timeout=10)
            try:
                self.session = run_until(resume(self.client, self.file), self._death())
            except (Crash, *TEMPORARY):
                continue
            for answer in self.session.recovered:
                self._note(answer)
            return

    def _die(self, stream: SessionStream | None) -> None:
        if stream is not None and stream._socket is not None:
            with suppress(OSError):  # the proxy may have closed it
                stream._socket.connection.socket.shutdown(socket.SHUT_RDWR)
            CloseSocket(stream._socket).run()

    def state(self) -> dict[str, Any]:
        self.proxy.settle()
        info = self.session.info()
        return {"step": info.step, "timesteps": info.timesteps, **load(self.session.export_state())}


def test_a_stream_continues_without_loss_or_double(service: Server, proxy: BreakingProxy, tmp_path: Path) -> None:
    seen: Counter[str] = Counter()

    @hypothesis.settings(max_examples=40, deadline=None, derandomize=True, database=None)
    @hypothesis.given(
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=10),
        st.lists(st.sampled_from(Fault), max_size=12),
        st.lists(st.one_of(st.none(), st.integers(0, 6)), max_size=12),
        st.sampled_from([1, 3, 8]),
    )
    def check(texts: list[str], faults: list[Fault], dies: list[int], window: int) -> None:
        proxy.settle()
        story = StreamStory(proxy, tmp_path / "session.json", window, dies)
        proxy.faults.extend(faults)
        story.live(texts)
        answers, state = reference(service.url, [Move(text, (), ()) for text in texts])
        found = story.state()
        assert story.answers.keys() <= set(range(1, len(texts) + 1))
        for answer in answers:
            if answer.step in story.answers:
                assert outline(story.answers[answer.step]) == outline(answer)
            elif window == 1 and not dies:
                raise AssertionError(f"the answer of step {answer.step} was lost")
        for name, expected in state.items():
            assert found[name] == pytest.approx(expected, abs=1e-5), name
        seen.update(answers=len(story.answers))
        story.session.delete()
        story.client.close()

    check()
    assert seen["answers"]
