"""Clients that complete texts with OpenAI's own asynchronous client: every answer is known beforehand."""

import asyncio
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from openai import APIError, APIStatusError, AsyncOpenAI

from service.engine.loaded_models import load_version
from service.engine.runner import run_operation
from service.http.schemas.requests import GenerateBody
from service.tasks.limits import TextLimits
from tests.chaos import automaton
from tests.chaos.automaton import Automaton
from tests.chaos.driver import PATIENCE
from tests.chaos.packages.package_client import PackageClient
from tests.served import ROOT

_PROMPTS = ("I would like", "Thank you very", "He did not want", "Where is the")
_TEMPORARY = {408, 409, 429, 503}


@dataclass(frozen=True, slots=True)
class Completed:
    """A completion: its text, why it ended, and how many tokens were generated."""

    text: str
    reason: str | None
    tokens: int | None


@dataclass(slots=True, eq=False)
class CompletionClient(PackageClient):
    """One client; what it asks for follows from the run's seed and its own number."""

    plan = "completions"

    client: AsyncOpenAI = field(init=False)

    def __post_init__(self) -> None:
        PackageClient.__post_init__(self)  # super() does not know classes with slots
        url, key = f"http://127.0.0.1:{self.port}/v1", self.api_key or "any"
        self.client = AsyncOpenAI(base_url=url, api_key=key, timeout=4.0, max_retries=0)

    async def run(self) -> None:
        """Work until the run ends."""
        while not self.shared.stopping():
            await self._complete()
            await asyncio.sleep(self.choose.uniform(0.0, 2 * self.role.pause))

    async def finish(self) -> None:
        """Nothing is left behind."""

    async def close(self) -> None:
        await self.client.close()

    async def _complete(self) -> None:
        """Ask for one completion until it comes, and compare it."""
        question, expected = self._question()
        ask = self._stream if self.choose.random() < 0.5 else self._whole
        started = time.monotonic()
        while True:
            try:
                found = await ask(question)
                break
            except APIError as error:
                self.shared.operations["completions that failed"] += 1
                wrong = isinstance(error, APIStatusError) and error.status_code not in _TEMPORARY
                if wrong or time.monotonic() > started + PATIENCE:
                    self._tell(question, error)
                    return
            await asyncio.sleep(self.choose.uniform(0.1, 1.0))
        self.shared.checked["completions"] += 1
        if found != expected:
            self._tell(question, f"{found}, expected {expected}")

    def _question(self) -> tuple[dict[str, Any], Completed]:
        """A request, and what it is answered with."""
        tokens = self.choose.randint(1, 6)
        if self.role.model == "adder":
            words = self.choose.choices(automaton.WORDS, k=self.choose.randint(1, 5))
            exact = Automaton()
            names, _ = exact.generate(exact.after(exact.start, words), tokens)
            return self._request(" ".join(words), tokens, {"temperature": 0}), Completed(
                " ".join(names), "length", tokens
            )
        sampling: dict[str, Any] = {"temperature": 0}
        if self.choose.random() < 0.5:
            sampling = {"temperature": 0.8, "seed": self.choose.randint(0, 3)}
        prompt = self.choose.choice(_PROMPTS)
        expected = reference(self.role.model, prompt, tokens, tuple(sampling.items()))
        return self._request(prompt, tokens, sampling), expected

    def _request(self, prompt: str, tokens: int, sampling: dict[str, Any]) -> dict[str, Any]:
        return {"model": self.role.model, "prompt": prompt, "max_tokens": tokens, **sampling}

    async def _whole(self, question: dict[str, Any]) -> Completed:
        completion = await self.client.completions.create(**question)
        choice, usage = completion.choices[0], completion.usage
        return Completed(choice.text, choice.finish_reason, usage.completion_tokens if usage else None)

    async def _stream(self, question: dict[str, Any]) -> Completed:
        """A streamed completion; one that ends early without an error has no reason to finish, and no usage."""
        text, reason, tokens = "", None, None
        options: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
        async with await self.client.completions.create(**question, **options) as stream:
            async for chunk in stream:
                tokens = chunk.usage.completion_tokens if chunk.usage else tokens
                for choice in chunk.choices:
                    text, reason = text + choice.text, choice.finish_reason or reason
        return Completed(text, reason, tokens)

    def _tell(self, question: dict[str, Any], found: object) -> None:
        self.shared.wrong.append(f"client {self.number}: the completion of {question} is {found!r}")


@cache
def _task(model: str) -> Any:
    return load_version(Path(ROOT / "models" / model / "1"), TextLimits(4096, 1024)).task


@cache
def reference(model: str, prompt: str, tokens: int, sampling: tuple[tuple[str, Any], ...]) -> Completed:
    """What the network generates, computed offline."""
    task = _task(model)
    body = {"input": {"text": prompt}, "options": {"max_tokens": tokens, **dict(sampling)}}
    output: dict[str, Any] = run_operation(
        task, GenerateBody.model_validate(body).to_domain(), task.initial_state
    ).output
    return Completed(output["text"], output["finish_reason"], len(output["tokens"]))
