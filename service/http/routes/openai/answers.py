"""Answers of OpenAI's completions: choices, usage, and the chunks of a stream."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from service.application.sessions.serializers import encode
from service.domain.errors import UnrollError
from service.domain.operations import GeneratedToken, Json, align_tokens
from service.http.errors import envelope
from service.http.schemas.openai import CompletionBody, Prompt

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class CompletionAnswer:
    """What the answers to one request have in common; `created` is in seconds since 1970."""

    body: CompletionBody
    created: int
    id: str = field(default_factory=lambda: f"cmpl-{secrets.token_hex(12)}")

    def completion(self, answer: dict[str, Any]) -> dict[str, Json]:
        """Return the answer to a request without a stream, from that of its generations."""
        choices: list[Json] = [
            self._choice(index, prompt, output)
            for index, (prompt, output) in enumerate(_chosen(self.body, answer["outputs"]))
        ]
        return {**self._fields(), "choices": choices, "usage": self.usage(answer)}

    def chunk(self, choices: list[Json], usage: Json = None) -> bytes:
        """Return an event of a stream."""
        chunk = {**self._fields(), "choices": choices}
        if self.body.stream_options is not None and self.body.stream_options.include_usage:
            chunk["usage"] = usage
        return b"data: %b\n\n" % encode(chunk)

    def usage(self, answer: dict[str, Any]) -> dict[str, Json]:
        """Return the tokens of the prompts, each counted once, and those of all candidates."""
        usage = answer["usage"]
        generated = usage.get("generated_tokens", 0)
        prompts = (usage["timesteps"] - generated) // self.body.candidates
        return {
            "prompt_tokens": prompts,
            "completion_tokens": generated,
            "total_tokens": prompts + generated,
        }

    def _fields(self) -> dict[str, Json]:
        return {"id": self.id, "object": "text_completion", "created": self.created, "model": self.body.model}

    def _choice(self, index: int, prompt: Prompt, output: dict[str, Any]) -> dict[str, Json]:
        tokens = _tokens_of(output) if self.body.logprobs is not None else []
        text = output["text"]
        if self.body.echo:
            text = prompt_text(prompt, output) + text
            tokens = prompt_tokens(prompt, output) + tokens if self.body.logprobs is not None else []
        logprobs = None if self.body.logprobs is None else logprobs_of(tokens, 0)
        return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": output["finish_reason"]}


def _chosen(body: CompletionBody, outputs: Sequence[dict[str, Any]]) -> list[tuple[Prompt, dict[str, Any]]]:
    """Return the outputs that are answered with their prompts: of `best_of` candidates the most probable by token."""
    chosen = []
    for place, prompt in enumerate(body.prompt):
        candidates = outputs[place * body.candidates : (place + 1) * body.candidates]
        if body.candidates > (body.n or 1):
            candidates = sorted(candidates, key=_mean_logprob, reverse=True)
        chosen += [(prompt, output) for output in candidates[: body.n or 1]]
    return chosen


def _mean_logprob(output: dict[str, Any]) -> float:
    logprobs: list[float] = output["logprobs"]
    return sum(logprobs) / len(logprobs) if logprobs else 0.0


def _tokens_of(output: dict[str, Any]) -> list[GeneratedToken]:
    alternatives = output["alternatives"] or [()] * len(output["tokens"])
    return [
        GeneratedToken(token, text, logprob, tuple((other, value) for other, value in others))
        for token, text, logprob, others in zip(
            output["tokens"], output["pieces"], output["logprobs"], alternatives, strict=True
        )
    ]


def prompt_text(prompt: Prompt, output: dict[str, Any]) -> str:
    """Return the text of a prompt: as it was sent, or that of its token ids."""
    text: str = prompt if isinstance(prompt, str) else output["input"]["text"]
    return text


def prompt_tokens(prompt: Prompt, output: dict[str, Any]) -> list[GeneratedToken]:
    """Return the tokens of a prompt with their pieces of its text."""
    scored = output["input"]
    return align_tokens(prompt_text(prompt, output), scored["tokens"], scored["logprobs"])


def logprobs_of(tokens: Sequence[GeneratedToken], offset: int) -> dict[str, Json]:
    """Return the object `logprobs` of tokens whose text begins at `offset`."""
    offsets: list[Json] = []
    for token in tokens:
        # The space before a word belongs to the piece, not to the token.
        spaces = len(token.text) - len(token.text.lstrip(" ")) if token.text.strip(" ") == token.token else 0
        offsets.append(offset + spaces)
        offset += len(token.text)
    return {
        "tokens": [token.token for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [{**dict(token.alternatives), token.token: token.logprob} for token in tokens],
        "text_offset": offsets,
    }


class CompletionEvents:
    """Events of a streamed completion: chunks of one choice each, at the end `[DONE]`."""

    def __init__(self, answer: CompletionAnswer) -> None:
        self._answer = answer
        self._body = answer.body
        self._lengths: dict[int, int] = {}

    def tokens(self, tokens: Sequence[GeneratedToken]) -> bytes:
        return b"".join(self._begin(token.index) + self._chunk(token) for token in tokens)

    def _begin(self, index: int) -> bytes:
        """Return with `echo` the chunk of the prompt, if the choice has no chunk yet."""
        if index in self._lengths:
            return b""
        self._lengths[index] = 0
        prompt = self._body.prompt[index // self._body.candidates]
        return self._answer.chunk([_choice(index, str(prompt), None)]) if self._body.echo else b""

    def _chunk(self, token: GeneratedToken) -> bytes:
        start = self._lengths[token.index]
        self._lengths[token.index] = start + len(token.text)
        logprobs = None if self._body.logprobs is None else logprobs_of([token], start)
        return self._answer.chunk([_choice(token.index, token.text, logprobs)])

    def done(self, answer: dict[str, Any]) -> bytes:
        ends = b"".join(
            self._begin(index) + self._answer.chunk([_choice(index, "", None, output["finish_reason"])])
            for index, output in enumerate(answer["outputs"])
        )
        options = self._body.stream_options
        usage = self._answer.usage(answer)
        last = self._answer.chunk([], usage) if options is not None and options.include_usage else b""
        return ends + last + DONE

    def error(self, error: UnrollError) -> bytes:
        return b"data: %b\n\n" % encode(envelope(error))


def _choice(index: int, text: str, logprobs: Json, finish_reason: str | None = None) -> dict[str, Json]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}
