"""Completions by the real `openai` package, and what it refuses."""

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import Completion

from tests.integration.conftest import KEYS
from tests.server import Body, Server, answered, post, refusal

PROMPT = "the dog"


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key=KEYS["alice"], max_retries=0) as client:
        yield client


def generated(http: httpx.Client, prompt: Body, **options: Any) -> Body:
    body = {"input": prompt, "options": {"max_tokens": 16, **options}}
    output: Body = answered(post(http, "/v1/models/tiny/generate", body))["output"]
    return output


def complete(client: OpenAI, prompt: Any = PROMPT, model: str = "tiny", **fields: Any) -> Completion:
    completion = client.completions.create(model=model, prompt=prompt, **fields)
    assert isinstance(completion, Completion)
    return completion


def test_the_models_are_listed(client: OpenAI) -> None:
    models = {model.id: model for model in client.models.list()}
    assert {"tiny", "pair", "next-word"} <= models.keys()
    assert client.models.retrieve("tiny").owned_by == models["tiny"].owned_by == "unroll"


# Whole answers.


def test_a_completion_is_the_continuation_that_the_native_api_generates(client: OpenAI, http: httpx.Client) -> None:
    completion = complete(client, temperature=0)
    expected = generated(http, {"text": PROMPT}, temperature=0)
    assert completion.object == "text_completion"
    assert completion.id.startswith("cmpl-")
    assert completion.model == "tiny"
    (choice,) = completion.choices
    assert (choice.index, choice.text, choice.logprobs) == (0, expected["text"], None)
    assert choice.finish_reason == expected["finish_reason"]
    count = len(expected["tokens"])
    assert completion.usage is not None
    assert completion.usage.model_dump(exclude_none=True) == {
        "prompt_tokens": 2,
        "completion_tokens": count,
        "total_tokens": 2 + count,
    }


def test_a_seed_gives_the_same_choices_again_and_the_native_text_first(client: OpenAI, http: httpx.Client) -> None:
    first, again = (complete(client, seed=5, n=3, top_p=0.9, temperature=0.8) for _ in range(2))
    assert first.choices == again.choices
    texts = [choice.text for choice in first.choices]
    assert len(set(texts)) == 3
    assert texts[0] == generated(http, {"text": PROMPT}, seed=5, top_p=0.9, temperature=0.8)["text"]
    assert complete(client, seed=-1).choices == complete(client, seed=-1).choices


@pytest.mark.parametrize(
    ("prompt", "tokens"),
    [(PROMPT, [2]), ([PROMPT, "a cat"], [2, 2]), ([5, 6, 7], [3]), ([[5], [6, 7]], [1, 2]), ("", [0])],
)
def test_a_prompt_has_one_of_four_forms(client: OpenAI, prompt: Any, tokens: list[int]) -> None:
    completion = complete(client, prompt, n=2, max_tokens=3, temperature=0)
    assert [choice.index for choice in completion.choices] == [*range(2 * len(tokens))]
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == sum(tokens)
    texts = [choice.text for choice in completion.choices]
    assert texts[::2] == texts[1::2]


def test_of_several_candidates_the_most_probable_by_token_are_chosen(client: OpenAI, http: httpx.Client) -> None:
    completion = complete(client, seed=1, n=2, best_of=6, logprobs=0)
    candidates = [generated(http, {"text": PROMPT}, seed=1 + index) for index in range(6)]
    candidates.sort(key=lambda output: -sum(output["logprobs"]) / len(output["logprobs"]))
    assert [choice.text for choice in completion.choices] == [output["text"] for output in candidates[:2]]
    assert completion.usage is not None
    assert completion.usage.completion_tokens == sum(len(output["tokens"]) for output in candidates)


def test_a_stop_text_ends_a_choice(client: OpenAI, http: httpx.Client) -> None:
    words = generated(http, {"text": PROMPT}, seed=1)["text"].split()
    for stop in (words[4], [words[4], "never"]):
        (choice,) = complete(client, seed=1, stop=stop).choices
        assert choice.finish_reason == "stop"
        assert choice.text.split() == words[: words.index(words[4])]


def test_log_probabilities_are_those_of_the_tokens_and_of_others_in_their_place(
    client: OpenAI, http: httpx.Client
) -> None:
    (choice,) = complete(client, seed=1, logprobs=3, max_tokens=5).choices
    expected = generated(http, {"text": PROMPT}, seed=1, max_tokens=5)
    logprobs = choice.logprobs
    assert logprobs is not None
    assert (logprobs.tokens, logprobs.token_logprobs) == (expected["tokens"], expected["logprobs"])
    predicted = answered(post(http, "/v1/models/tiny/predict", {"input": {"text": PROMPT}, "options": {"top_k": 3}}))[
        "output"
    ]["predictions"]
    assert logprobs.top_logprobs is not None
    assert {prediction["token"] for prediction in predicted} <= logprobs.top_logprobs[0].keys()
    for token, logprob, others, offset in zip(
        expected["tokens"], expected["logprobs"], logprobs.top_logprobs, logprobs.text_offset or [], strict=True
    ):
        assert others[token] == logprob
        assert 3 <= len(others) <= 4
        assert choice.text[offset:].startswith(token)


def test_an_echo_is_the_prompt_and_its_continuation(client: OpenAI, http: httpx.Client) -> None:
    (choice,) = complete(client, echo=True, logprobs=0, seed=1, max_tokens=4).choices
    expected = generated(http, {"text": PROMPT}, seed=1, max_tokens=4)
    assert choice.text == f"{PROMPT} {expected['text']}"
    scored = answered(post(http, "/v1/models/tiny/score", {"input": {"text": PROMPT}}))["output"]
    assert choice.logprobs is not None
    assert choice.logprobs.tokens == [*scored["tokens"], *expected["tokens"]]
    for found, score in zip(choice.logprobs.token_logprobs or [], scored["logprobs"], strict=False):
        assert found == pytest.approx(score, abs=1e-5)
    for token, offset in zip(choice.logprobs.tokens, choice.logprobs.text_offset or [], strict=True):
        assert choice.text[offset:].startswith(token)


def test_a_prompt_alone_is_scored_by_an_echo_without_tokens(client: OpenAI) -> None:
    completion = complete(client, echo=True, logprobs=0, max_tokens=0)
    assert completion.choices[0].text == PROMPT
    assert completion.choices[0].logprobs is not None
    assert completion.choices[0].logprobs.tokens == PROMPT.split()
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 0


# Streams.


def test_the_chunks_of_a_stream_are_the_completion(client: OpenAI) -> None:
    whole = complete(client, [PROMPT, "a cat"], n=2, seed=3, logprobs=2)
    chunks = list(
        client.completions.create(
            model="tiny",
            prompt=[PROMPT, "a cat"],
            n=2,
            seed=3,
            logprobs=2,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    for index, choice in enumerate(whole.choices):
        parts = [part for chunk in chunks for part in chunk.choices if part.index == index]
        assert "".join(part.text for part in parts) == choice.text
        assert [part.finish_reason for part in parts][-1] == choice.finish_reason
        assert {part.finish_reason for part in parts[:-1]} == {None}
        assert choice.logprobs is not None
        details = [part.logprobs for part in parts if part.logprobs is not None]
        for field in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
            joined = [item for detail in details for item in getattr(detail, field)]
            assert joined == getattr(choice.logprobs, field), field


def test_a_stream_without_usage_has_none(client: OpenAI, http: httpx.Client) -> None:
    response = post(http, "/v1/completions", {"model": "tiny", "prompt": PROMPT, "stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    *events, end = response.text.removesuffix("\n\n").split("\n\n")
    assert end == "data: [DONE]"
    assert all(event.startswith('data: {"id":"cmpl-') and "usage" not in event for event in events)


@pytest.mark.parametrize("max_tokens", [0, 3])
def test_an_echo_streams_its_prompt_first(client: OpenAI, max_tokens: int) -> None:
    fields: dict[str, Any] = {"model": "tiny", "prompt": PROMPT, "echo": True, "seed": 1, "max_tokens": max_tokens}
    texts = [choice.text for chunk in client.completions.create(**fields, stream=True) for choice in chunk.choices]
    assert texts[0] == PROMPT
    assert "".join(texts) == client.completions.create(**fields).choices[0].text


def test_a_failure_midway_is_raised_by_the_client(client: OpenAI) -> None:
    stream = client.completions.create(
        model="next-word",
        prompt=[PROMPT] * 1024,
        max_tokens=64,
        stream=True,
        extra_headers={"X-Request-Timeout-Ms": "1000"},
    )
    with pytest.raises(openai.APIError) as caught:
        for _ in stream:
            pass
    assert caught.value.code == "deadline_exceeded"


# Asynchronous clients.


async def test_an_asynchronous_client_completes_and_streams(server: Server) -> None:
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key=KEYS["alice"]) as client:
        whole = await client.completions.create(model="tiny", prompt=PROMPT, seed=1)
        stream = await client.completions.create(model="tiny", prompt=PROMPT, seed=1, stream=True)
        text = "".join([choice.text async for chunk in stream for choice in chunk.choices])
        assert text == whole.choices[0].text
        assert "tiny" in [model.id async for model in client.models.list()]


# Refusals.


@pytest.mark.parametrize(
    ("fields", "mention"),
    [
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"frequency_penalty": -1}, "frequency_penalty"),
        ({"suffix": "end"}, "suffix"),
        ({"n": 0}, "n"),
        ({"best_of": 2, "n": 3}, "best_of"),
        ({"best_of": 2, "stream": True}, "best_of"),
        ({"echo": True, "logprobs": 1}, "logprobs"),
        ({"echo": True, "logprobs": 0, "stream": True}, "echo"),
        ({"logprobs": 6}, "logprobs"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": ""}, "stop"),
        ({"stop": 5}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
        ({"prompt": []}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": ["a", [5]], "n": 1.5}, "n"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": ["a", 5]}, "prompt"),
        ({"prompt": [[5], []]}, "prompt"),
        ({"prompt": " "}, "prompt"),
        ({"prompt": ["a", " "]}, "prompt[1]"),
        ({"prompt": ["a"] * 200, "n": 100}, "n"),
        ({"max_tokens": 100_000}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"tools": []}, "tools"),
    ],
)
@pytest.mark.parametrize("streams", [False, True])
def test_a_field_that_cannot_be_honoured_is_refused_by_name(
    http: httpx.Client, fields: Body, mention: str, streams: bool
) -> None:
    body = {"model": "tiny", "prompt": PROMPT, **({"stream": True} if streams else {}), **fields}
    if mention == "stream_options":
        body["stream"] = False
    error = refusal(post(http, "/v1/completions", body), 422, "invalid_request", mention)
    assert error["param"] == mention
    assert error["message"].startswith(mention)


@pytest.mark.parametrize("streams", [False, True])
def test_an_id_out_of_the_vocabulary_names_its_place_in_the_prompt(http: httpx.Client, streams: bool) -> None:
    body = {"model": "tiny", "prompt": [[5], [5, 99_999]], "stream": streams}
    error = refusal(post(http, "/v1/completions", body), 422, "out_of_vocabulary", "prompt[1][1] is 99999")
    assert error["param"] == "prompt[1][1]"


def test_neutral_values_and_nulls_of_all_fields_are_accepted(http: httpx.Client) -> None:
    neutral = {"logit_bias": {}, "presence_penalty": 0, "frequency_penalty": 0.0, "suffix": "", "user": "me", "n": 1}
    body = {"model": "tiny", "prompt": PROMPT}
    answered(post(http, "/v1/completions", body | neutral))
    fields = ["max_tokens", "temperature", "top_p", "n", "best_of", "echo", "logprobs", "seed", "stop", "stream"]
    answered(post(http, "/v1/completions", body | dict.fromkeys([*fields, *neutral, "stream_options"])))


def test_errors_are_those_that_the_package_knows(client: OpenAI, server: Server) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        complete(client, model="gpt-4")
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.UnprocessableEntityError) as invalid:
        complete(client, suffix="end")
    assert invalid.value.param == "suffix"
    with (
        OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        complete(stranger)


def test_a_prompt_that_is_too_long_is_told_before_it_is_read(http: httpx.Client) -> None:
    body = {"model": "tiny", "prompt": [["a"], [5] * 20_000]}
    refusal(post(http, "/v1/completions", body), 413, "input_too_long", "prompt[1] has 20000 tokens")
    refusal(
        post(http, "/v1/completions", {"model": "tiny", "prompt": [5] * 65}), 413, "input_too_long", "prompt has 65"
    )
