"""Clients that use the package unroll-client, which numbers, repeats and resumes by itself; some die at times."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos import contents
from tests.chaos.contents import Content, Generation, Reset, Words
from tests.chaos.driver import PATIENCE
from tests.chaos.journal import Session
from tests.chaos.packages.package_client import PackageClient
from tests.chaos.packages.steps import Steps, looked
from unroll_client import AsyncClient, Client, RetryPolicy, SessionInfo, StepResult, UnrollError

_KEPT = 3
_DIES = 0.1
#: Few attempts, so that steps are left in doubt, and are recovered by the package's own means.
_RETRY = RetryPolicy(max_attempts=3, max_seconds=20.0)


@dataclass(slots=True, eq=False)
class PythonClient(PackageClient):
    """One client of a package; what it does follows from the run's seed and its own number."""

    plan = "package"

    serial: int = 0

    async def run(self) -> None:
        """Work until the run ends."""
        with tempfile.TemporaryDirectory(prefix="unroll-client-") as folder:
            while not self.shared.stopping():
                work = SessionWork(self, Path(folder) / "session.json")
                try:
                    await work.run()
                except UnrollError as error:  # of what is repeated without harm: creations and looks
                    self.shared.operations["package calls given up"] += 1
                    if not error.temporary and not work.ends(error):
                        self.shared.wrong.append(f"client {self.number}: {error!r}")
                finally:
                    await work.close()
                await asyncio.sleep(self.choose.uniform(0.0, 2 * self.role.pause))

    async def finish(self) -> None:
        """Each session was looked at when it was left."""

    async def close(self) -> None:
        """Nothing stays open."""


class SessionWork:
    """One session from its creation until its client leaves it."""

    def __init__(self, owner: PythonClient, file: Path) -> None:
        self.owner, self.file = owner, file
        self.sync = owner.role.package == "python"
        self.client = self.connect()
        self.session: Any = None
        self.journal: Session | None = None
        self.over = False

    def connect(self) -> Any:
        url, key = f"http://127.0.0.1:{self.owner.port}", self.owner.api_key or None
        return (Client if self.sync else AsyncClient)(url, api_key=key, timeout=4.0, retry=_RETRY)

    async def call(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call the package, in a thread if it blocks."""
        if self.sync:
            return await asyncio.to_thread(method, *arguments, **options)
        return await method(*arguments, **options)

    async def close(self) -> None:
        await self.call(self.client.close)

    async def run(self) -> None:
        """Open the session, step it a while, and look where it stands."""
        owner, role, sent = self.owner, self.owner.role, time.monotonic()
        terms = {"durability": role.durability, "ttl_seconds": role.ttl, "kept_steps": _KEPT}
        self.session = await self.call(self.client.create_session, role.model, save_to=self.file, **terms)
        owner.shared.operations["package sessions"] += 1
        self.journal = Session(
            self.session.id, role.model, role.durability, role.ttl, sent, time.monotonic(), owner.number
        )
        self.journal.kept, self.journal.loose = _KEPT, True
        owner.shared.sessions.append(self.journal)
        acts = 0
        while not (self.over or owner.shared.stopping() or acts > owner.choose.randint(20, 200)):
            acts += 1
            await self.act()
            await asyncio.sleep(owner.choose.uniform(0.0, 2 * role.pause))
        if not self.over:
            sent = time.monotonic()
            looked(self.journal, "get", sent, await self.call(self.session.info))

    def ends(self, error: UnrollError) -> bool:
        """Write down that the session was gone at a look; the judge knows whether it may be."""
        if self.journal is None:
            return False
        looked(self.journal, "get", time.monotonic(), error)
        return True

    async def act(self) -> None:
        choose, steps = self.owner.choose, self.session.step_count
        kind = choose.choices(
            ["steps", "stream", "reset", "look"], [0.4, 0.5 if self.owner.role.websocket else 0.1, 0.05, 0.05]
        )[0]
        self.owner.shared.operations[f"package {kind}"] += 1
        if kind == "look":
            sent = time.monotonic()
            assert self.journal is not None
            looked(self.journal, "look", sent, await self.call(self.session.peek, top_k=1))
        elif kind == "reset":
            to = choose.choice([None, *range(max(0, steps - _KEPT), steps + 1)])
            await self.advance([Reset(to)])
        elif kind == "stream" and self.owner.role.websocket:
            await self.advance([self.words() for _ in range(choose.randint(2, 10))])
        elif kind == "stream":
            await self.advance([Generation((), choose.randint(1, 3))])
        else:
            await self.advance([self.words()])

    def words(self) -> Words:
        self.owner.serial += 1
        content = contents.choose(self.owner.role.model, self.owner.choose, self.owner.serial, generate=False)
        assert isinstance(content, Words)
        return content

    async def advance(self, wanted: Sequence[Content]) -> None:
        """Make steps, however often the package gives up and the client dies; then write down what came of them."""
        assert self.journal is not None
        steps = Steps(self.journal, self.session.step_count, list(wanted))
        dies = not self.sync and self.owner.choose.random() < _DIES
        work = asyncio.ensure_future(self._send(steps))
        try:
            await asyncio.wait_for(work, self.owner.choose.uniform(0.0, 0.05) if dies else PATIENCE)
        except TimeoutError:
            steps.fail(None, self.session.step_count)
            await self._resume(steps)
        except UnrollError as error:
            steps.fail(error, self.session.step_count)
            await self._recover(steps, error, self.session)
        steps.settle(self.session.step_count)

    async def _send(self, steps: Steps) -> None:
        content = steps.contents[0]
        match content:
            case Reset(step):
                steps.answer(await self.call(self.session.reset, step))
            case Generation(_, tokens):
                steps.answer(await self._generate(tokens))
            case Words() if len(steps.contents) > 1:
                await self._stream(steps)
            case Words(texts):
                steps.answer(await self.call(self.session.step, " ".join(texts), top_k=1))

    async def _generate(self, tokens: int) -> StepResult:
        options = {"max_tokens": tokens, "temperature": 0}
        if self.owner.choose.random() < 0.3:
            result: StepResult = await self.call(self.session.generate, **options)
            return result
        seen, result = await self.call(_stream_at_once if self.sync else _stream, self.session, options)
        if seen != result.output.tokens:  # type: ignore[union-attr]
            self.owner.shared.wrong.append(f"a stream had the tokens {seen}, its answer is {result.output}")
        return result

    async def _stream(self, steps: Steps) -> None:
        texts = [" ".join(content.texts) for content in steps.contents if isinstance(content, Words)]
        window = self.owner.choose.choice([1, 4])
        if self.sync:
            await asyncio.to_thread(_step_at_once, self.session, texts, window, steps)
            return
        async with self.session.stream(window=window) as stream:
            async for answer in stream.steps(texts, top_k=1):
                _take(steps, answer)

    async def _resume(self, steps: Steps) -> None:
        """Go on as a new process does, from the file."""
        self.owner.shared.operations["package clients that died"] += 1
        await self.close()
        self.client = self.connect()
        self.session = None
        deadline = time.monotonic() + PATIENCE
        while self.session is None:
            try:
                self.session = await self.call(self.client.resume, self.file)
            except UnrollError as error:
                steps.fail(error, max(steps.answers, default=steps.base))
                if not error.temporary or time.monotonic() > deadline:
                    await self._leave(steps, error)
                    return
        for answer in self.session.recovered:
            steps.answer(answer)

    async def _recover(self, steps: Steps, error: UnrollError, session: Any) -> None:
        """Complete what is in doubt, by the package's own means."""
        deadline = time.monotonic() + PATIENCE
        while session.pending is not None:
            self.owner.shared.operations["package recoveries"] += 1
            try:
                for answer in await self.call(session.recover):
                    steps.answer(answer)
            except UnrollError as failure:
                error = failure
                steps.fail(error, session.step_count)
                if time.monotonic() > deadline:
                    break
        if session.pending is not None or not error.temporary:
            await self._leave(steps, error)

    async def _leave(self, steps: Steps, error: UnrollError) -> None:
        """Leave the session: what was sent before a rollback of the store, may still be on its way to it."""
        self.over = True
        if error.temporary:
            self.owner.shared.wrong.append(f"client {self.owner.number}: steps were never answered for good: {error!r}")
        if self.session is None:  # it could not be resumed: what was answered, is known
            self.session = _Gone(max(steps.answers, default=steps.base))


@dataclass(frozen=True, slots=True)
class _Gone:
    step_count: int


def _take(steps: Steps, answer: Any) -> None:
    if isinstance(answer, StepResult | SessionInfo):
        steps.answer(answer)


def _step_at_once(session: Any, texts: list[str], window: int, steps: Steps) -> None:
    with session.stream(window=window) as stream:
        for answer in stream.steps(texts, top_k=1):
            _take(steps, answer)


def _stream_at_once(session: Any, options: dict[str, Any]) -> tuple[list[str], Any]:
    with session.generate_stream(**options) as stream:
        return [token.token for token in stream], stream.result


async def _stream(session: Any, options: dict[str, Any]) -> tuple[list[str], Any]:
    async with session.generate_stream(**options) as stream:
        return [token.token async for token in stream], stream.result
