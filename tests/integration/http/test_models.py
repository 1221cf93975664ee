"""Models, and predictions, scores and generations without a session, as the contract tells of them."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.rounding import LOGIT, PROBABILITY
from tests.server import Body, answered, assert_same_predictions, post, probabilities, refusal

MODEL_FIELDS = {
    "id": str,
    "object": str,
    "created": int,
    "owned_by": str,
    "task": str,
    "versions": list,
    "default_version": str,
    "architecture": str,
    "cell": str,
    "num_layers": int,
    "hidden_size": int,
    "parameters": int,
    "state_bytes": int,
    "fingerprint": str,
    "dtype": str,
    "verified": bool,
    "description": str,
    "metrics": dict,
}
SPECIAL = {"<unk>", "<s>"}


def predict(http: httpx.Client, given: Body, model: str = "tiny", **options: Any) -> Body:
    body = answered(post(http, f"/v1/models/{model}/predict", {"input": given, "options": options}))
    output: Body = body["output"]
    return output


def score(http: httpx.Client, given: Body, model: str = "tiny") -> Body:
    output: Body = answered(post(http, f"/v1/models/{model}/score", {"input": given}))["output"]
    return output


def generate(http: httpx.Client, text: str, model: str = "tiny", **options: Any) -> Body:
    body = answered(post(http, f"/v1/models/{model}/generate", {"input": {"text": text}, "options": options}))
    assert body["model"] == model
    output: Body = body["output"]
    assert len(output["tokens"]) == len(output["logprobs"])
    return output


def ids_of(http: httpx.Client, *tokens: str) -> list[int]:
    """Ids of tokens of the tiny model, from its own predictions."""
    known = {
        prediction["token"]: prediction["id"] for prediction in predict(http, {"text": "the"}, top_k=100)["predictions"]
    }
    return [known[token] for token in tokens]


def test_the_list_of_models_holds_every_model_once(http: httpx.Client) -> None:
    listed = answered(http.get("/v1/models"))
    assert listed["object"] == "list"
    assert [one["id"] for one in listed["data"]] == ["next-word", "pair", "tiny"]


@pytest.mark.parametrize("name", ["next-word", "pair", "tiny"])
def test_a_model_is_described_by_all_fields_of_the_contract(http: httpx.Client, name: str) -> None:
    model = answered(http.get(f"/v1/models/{name}"))
    assert {field: type(value) for field, value in model.items()} == MODEL_FIELDS
    assert (model["id"], model["object"], model["owned_by"]) == (name, "model", "unroll")
    assert (model["task"], model["architecture"]) == ("next-word", "language-model")
    assert model["verified"] is True
    assert model["fingerprint"].startswith("sha256:")
    assert len(model["fingerprint"]) == len("sha256:") + 64
    assert model in answered(http.get("/v1/models"))["data"]


@pytest.mark.parametrize(("name", "version"), [("tiny", "1"), ("pair", "2"), ("next-word", "1")])
def test_the_layers_of_a_model_are_told_in_order(http: httpx.Client, name: str, version: str) -> None:
    model, network = answered(http.get(f"/v1/models/{name}")), answered(http.get(f"/v1/models/{name}/network"))
    assert {field: network[field] for field in ("object", "model", "version", "architecture", "window")} == {
        "object": "network",
        "model": name,
        "version": version,
        "architecture": "language-model",
        "window": None,
    }
    (part,) = network["parts"]
    embedding, recurrent, output = part["layers"]
    assert [layer["kind"] for layer in part["layers"]] == ["embedding", "recurrent", "output"]
    assert embedding["vocabulary"] == output["vocabulary"]
    assert (recurrent["cell"], recurrent["depth"], recurrent["hidden_size"]) == (
        model["cell"],
        model["num_layers"],
        model["hidden_size"],
    )
    assert sum(math.prod(tensor["shape"]) for tensor in network["state"]) * 4 == model["state_bytes"]


def test_the_card_of_a_version_is_its_readme(http: httpx.Client, models_folder: Path) -> None:
    for name, version in (("next-word", "1"), ("pair", "1")):
        response = http.get(f"/v1/models/{name}/card", params={"version": version})
        assert (response.status_code, response.headers["content-type"]) == (200, "text/markdown; charset=utf-8")
        assert response.text == (models_folder / name / version / "README.md").read_text("utf-8")


@pytest.mark.parametrize("what", ["network", "card"])
def test_what_is_told_of_a_version_names_one_that_is_served(http: httpx.Client, what: str) -> None:
    refusal(http.get(f"/v1/models/pair/{what}?version=3"), 404, "version_not_found", "version '3' of pair")
    refusal(http.get(f"/v1/models/nothing/{what}"), 404, "model_not_found", "nothing")
    refusal(http.get(f"/v1/models/pair/{what}?edition=3"), 422, "invalid_request", "edition")


def test_the_newest_version_is_the_default(http: httpx.Client) -> None:
    model = answered(http.get("/v1/models/pair"))
    assert (model["versions"], model["default_version"]) == (["1", "2"], "2")
    path, body = "/v1/models/pair/predict", {"input": {"text": "the dog"}}
    default = answered(post(http, path, body))
    newest = answered(post(http, path, {**body, "version": "2"}))
    older = answered(post(http, path, {**body, "version": "1"}))
    assert default == newest
    assert (newest["version"], older["version"]) == ("2", "1")
    assert newest["output"] != older["output"]


@pytest.mark.parametrize("name", ["tiny", "next-word"])
def test_predictions_come_most_probable_first_and_never_special(http: httpx.Client, name: str) -> None:
    output = predict(http, {"text": "the dog is"}, name, top_k=100)
    tokens = [prediction["token"] for prediction in output["predictions"]]
    values = [prediction["probability"] for prediction in output["predictions"]]
    assert all(earlier >= later for earlier, later in pairwise(values))
    assert not SPECIAL & set(tokens)
    assert len(set(tokens)) == len(tokens)
    assert 0 < sum(values) <= 1 + 1e-5


def test_an_answer_tells_model_version_output_and_usage(http: httpx.Client) -> None:
    body = answered(post(http, "/v1/models/tiny/predict", {"input": {"text": "the dog is big"}}))
    assert set(body) == {"model", "version", "output", "usage"}
    assert (body["model"], body["version"], body["usage"]) == ("tiny", "1", {"timesteps": 4})
    assert set(body["output"]) == {"predictions", "observed"}
    assert [set(prediction) for prediction in body["output"]["predictions"]] == [{"token", "id", "probability"}] * 5


@pytest.mark.parametrize("count", [1, 2, 7])
def test_top_k_says_how_many_predictions(http: httpx.Client, count: int) -> None:
    assert len(predict(http, {"text": "the"}, top_k=count)["predictions"]) == count


def test_a_hundred_predictions_are_listed_of_a_large_vocabulary(http: httpx.Client) -> None:
    assert len(predict(http, {"text": "the"}, "next-word", top_k=100)["predictions"]) == 100


def test_text_tokens_and_ids_of_the_same_words_give_the_same_answer(http: httpx.Client) -> None:
    words = ["the", "dog", "is", "big"]
    by_text = predict(http, {"text": " ".join(words)})
    assert predict(http, {"tokens": words}) == by_text
    assert predict(http, {"ids": ids_of(http, *words)}) == by_text


def test_white_space_around_words_changes_nothing(http: httpx.Client) -> None:
    assert predict(http, {"text": "\n the\tdog  "}) == predict(http, {"text": "the dog"})


def test_several_inputs_are_answered_in_their_order(http: httpx.Client) -> None:
    texts = ["the dog", "she", "we like school .", "the dog"]
    body = answered(post(http, "/v1/models/tiny/predict", {"inputs": [{"text": text} for text in texts]}))
    assert set(body) == {"model", "version", "outputs", "usage"}
    assert body["usage"] == {"timesteps": 9}
    assert len(body["outputs"]) == len(texts)
    for text, output in zip(texts, body["outputs"], strict=True):
        assert_same_predictions(output, predict(http, {"text": text}))
        assert output["observed"]["tokens"] == len(text.split())


def test_inputs_may_come_in_different_forms(http: httpx.Client) -> None:
    forms: list[Body] = [{"text": "the dog"}, {"tokens": ["the", "dog"]}, {"ids": ids_of(http, "the", "dog")}]
    outputs = answered(post(http, "/v1/models/tiny/predict", {"inputs": forms}))["outputs"]
    for output in outputs[1:]:
        assert_same_predictions(output, outputs[0])


def test_complete_predicts_words_that_continue_the_last_one(http: httpx.Client) -> None:
    output = predict(http, {"text": "the dog wh"}, complete=True)
    tokens = [prediction["token"] for prediction in output["predictions"]]
    assert set(tokens) == {"what", "where", "who"}
    whole = probabilities(predict(http, {"text": "the dog"}, top_k=100))
    for index, probability in probabilities(output).items():
        assert probability == pytest.approx(whole[index], abs=PROBABILITY)
    assert output["observed"]["tokens"] == 2


def test_complete_without_a_first_whole_word_observes_nothing(http: httpx.Client) -> None:
    output = predict(http, {"text": "wh"}, complete=True)
    assert {prediction["token"] for prediction in output["predictions"]} == {"what", "where", "who"}
    assert output["observed"] is None


def test_complete_of_tokens_takes_the_last_token_as_prefix(http: httpx.Client) -> None:
    assert predict(http, {"tokens": ["the", "wh"]}, complete=True) == predict(http, {"text": "the wh"}, complete=True)


def test_complete_that_nothing_continues_is_an_empty_list(http: httpx.Client) -> None:
    assert predict(http, {"text": "the zzzz"}, complete=True)["predictions"] == []


@pytest.mark.parametrize("form", ["text", "tokens"])
def test_a_word_outside_the_vocabulary_is_read_as_unknown_and_reported(http: httpx.Client, form: str) -> None:
    words = ["the", "zyzzyva", "is", "Łódź"]
    output = predict(http, {"text": " ".join(words)} if form == "text" else {"tokens": words})
    assert output["observed"]["unknown"] == ["zyzzyva", "Łódź"]
    assert output["observed"]["tokens"] == 4
    assert len(output["predictions"]) == 5


def test_observed_agrees_with_score(http: httpx.Client) -> None:
    text = "Tom and Mary go home ."
    observed, scored = predict(http, {"text": text})["observed"], score(http, {"text": text})
    assert observed["tokens"] == len(scored["tokens"]) == 6
    assert observed["mean_logprob"] == pytest.approx(scored["total_logprob"] / 6, abs=LOGIT)
    assert observed["perplexity"] == pytest.approx(scored["perplexity"], rel=LOGIT)


def test_a_score_lists_tokens_with_logprobs_that_add_up(http: httpx.Client) -> None:
    output = score(http, {"text": "she likes the zyzzyva"})
    assert set(output) == {"tokens", "logprobs", "total_logprob", "perplexity", "unknown"}
    assert output["tokens"] == ["she", "likes", "the", "zyzzyva"]
    assert output["unknown"] == ["likes", "zyzzyva"]
    assert all(value < 0 for value in output["logprobs"])
    assert sum(output["logprobs"]) == pytest.approx(output["total_logprob"], abs=4 * LOGIT)
    assert output["perplexity"] == pytest.approx(math.exp(-output["total_logprob"] / 4), rel=LOGIT)


def test_a_score_is_what_predict_gave_the_next_word(http: httpx.Client) -> None:
    (wanted,) = ids_of(http, "big")
    before = probabilities(predict(http, {"text": "the dog is"}, top_k=100))[wanted]
    assert math.exp(score(http, {"text": "the dog is big"})["logprobs"][-1]) == pytest.approx(before, abs=PROBABILITY)


def test_several_scores_come_in_their_order(http: httpx.Client) -> None:
    texts = ["the dog is big .", "dog the big is .", "where"]
    body = answered(post(http, "/v1/models/tiny/score", {"inputs": [{"text": text} for text in texts]}))
    assert body["usage"] == {"timesteps": 11}
    for text, output in zip(texts, body["outputs"], strict=True):
        alone = score(http, {"text": text})
        assert output["tokens"] == alone["tokens"]
        assert output["logprobs"] == pytest.approx(alone["logprobs"], abs=LOGIT)


def test_greedy_generation_takes_the_most_probable_words(http: httpx.Client) -> None:
    output = generate(http, "the dog", "next-word", temperature=0, max_tokens=4)
    text = "the dog"
    for token, logprob in zip(output["tokens"], output["logprobs"], strict=True):
        first = predict(http, {"text": text}, "next-word", top_k=1)["predictions"][0]
        assert (first["token"], math.log(first["probability"])) == (token, pytest.approx(logprob, abs=LOGIT))
        text += f" {token}"
    assert generate(http, "the dog", "next-word", temperature=0, max_tokens=4) == output


@pytest.mark.parametrize("options", [{}, {"temperature": 2.5}, {"top_k": 10}, {"top_p": 0.9}, {"temperature": 0.3}])
def test_the_same_seed_gives_the_same_text(http: httpx.Client, options: Body) -> None:
    first, second = (generate(http, "we", seed=7, max_tokens=20, **options) for _ in range(2))
    assert first == second


def test_other_seeds_give_other_texts(http: httpx.Client) -> None:
    assert len({generate(http, "we", seed=seed, max_tokens=12)["text"] for seed in range(6)}) > 1


def test_without_a_seed_texts_differ(http: httpx.Client) -> None:
    assert len({generate(http, "we", max_tokens=12)["text"] for _ in range(6)}) > 1


def test_the_largest_seed_is_taken(http: httpx.Client) -> None:
    assert generate(http, "we", seed=2**63 - 1, max_tokens=2)["finish_reason"] in {"stop", "length"}


def test_max_tokens_bounds_the_text(http: httpx.Client) -> None:
    outputs = [generate(http, "we", seed=seed, max_tokens=3) for seed in range(5)]
    for output in outputs:
        assert len(output["tokens"]) <= 3
        assert output["finish_reason"] == ("length" if len(output["tokens"]) == 3 else "stop")
    assert "length" in {output["finish_reason"] for output in outputs}


def test_the_text_ends_before_a_stop_text_and_leaves_it_out(http: httpx.Client) -> None:
    whole = generate(http, "we", seed=5, max_tokens=20)
    stop = whole["tokens"][2]
    at = whole["tokens"].index(stop)
    stopped = generate(http, "we", seed=5, max_tokens=20, stop=["never", stop])
    assert stopped["tokens"] == whole["tokens"][:at]
    assert stopped["finish_reason"] == "stop"
    assert stop not in stopped["text"].split()


def test_generated_tokens_are_never_special(http: httpx.Client) -> None:
    for seed in range(8):
        assert not SPECIAL & set(generate(http, "we", seed=seed, max_tokens=60, temperature=5.0)["tokens"])


@pytest.mark.parametrize("narrow", [{"top_k": 1}, {"top_p": 1e-9}, {"top_p": 1e-300}, {"temperature": 1e-300}])
def test_the_narrowest_choice_is_the_greedy_one(http: httpx.Client, narrow: Body) -> None:
    greedy = generate(http, "the dog", temperature=0, max_tokens=8)
    narrowest = generate(http, "the dog", seed=1, max_tokens=8, **narrow)
    assert narrowest["tokens"] == greedy["tokens"]


@pytest.mark.parametrize("wide", [{"top_k": 2**31 - 1}, {"top_p": 1}, {"top_p": 1.0, "top_k": 10_000}])
def test_the_widest_choice_changes_nothing(http: httpx.Client, wide: Body) -> None:
    assert generate(http, "we", seed=3, max_tokens=8, **wide) == generate(http, "we", seed=3, max_tokens=8)


def test_generation_tells_its_usage(http: httpx.Client) -> None:
    body = answered(
        post(http, "/v1/models/tiny/generate", {"input": {"text": "the dog"}, "options": {"max_tokens": 5, "seed": 1}})
    )
    assert set(body) == {"model", "version", "output", "usage"}
    assert body["usage"]["timesteps"] == 2 + len(body["output"]["tokens"])
