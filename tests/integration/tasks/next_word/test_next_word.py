"""Next-word prediction with small networks, compared with whole-sequence passes of the trainer's own code."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from service.domain.errors import InputTooLong, InvalidRequest, ModelFolderError, OutOfVocabulary, StateCorrupted
from service.domain.operations import (
    Generate,
    GenerateOptions,
    Operation,
    Outcome,
    Predict,
    PredictOptions,
    Score,
    TextInput,
)
from service.engine.runner import run_operation, run_timestep
from service.model_folder.safetensors_io import read_tensor_file, write_tensor_file
from service.tasks.architectures import load_task
from service.tasks.limits import TextLimits
from service.tasks.next_word.session_state import stack
from service.tasks.next_word.task import NextWordTask
from tests.folders import WORDS, make_trainer, write_language_model
from tests.rounding import LOGIT, PROBABILITY, assert_rounded
from tests.server import assert_same_predictions

SETTINGS: list[dict[str, Any]] = [
    {"cell": "rnn_tanh"},
    {"cell": "rnn_relu"},
    {"cell": "lstm"},
    {"cell": "gru"},
    {"cell": "lstm", "tie_weights": True},
    {"cell": "lstm", "proj_size": 8},
    {"cell": "gru", "hidden_size": [12, 8, 20]},
    {"cell": "lstm", "connection": "residual"},
    {"cell": "gru", "connection": "highway", "layer_norm": True},
    {"cell": "lstm", "head": [{"size": 10, "activation": "tanh"}]},
    {"cell": "gru", "window": 3},
    {"cell": "lstm", "window": 30, "connection": "residual", "tie_weights": True},
    {"cell": "lstm", "padding": {"side": "left", "token": "the", "length": 4}},
    {"cell": "gru", "padding": {"side": "right", "token": "the", "length": 8}, "window": 8},
]
#: The longest sum of products: the input of a layer, its hidden state and two biases.
TERMS = 16 + 16 + 2
#: Two layers for each token that is fed or generated, and the output layer that computes the normaliser.
PASSES = 2 * 13 + 1
#: The rounding of bfloat16 in units of that of float32.
BFLOAT16 = torch.finfo(torch.bfloat16).eps / LOGIT


def make_task(root: Path, **settings: Any) -> NextWordTask:
    return load_task(write_language_model(root, **settings), TextLimits(50, 20))[1]


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> NextWordTask:
    return make_task(tmp_path_factory.mktemp("models"))


def run(task: NextWordTask, operation: Operation, state: bytes | None = None) -> Outcome:
    return run_operation(task, operation, task.initial_state if state is None else task.state_codec.from_bytes(state))


def predict(task: NextWordTask, state: bytes | None = None, **fields: Any) -> Outcome:
    options = {name: fields.pop(name) for name in ("top_k", "complete") if name in fields}
    return run(task, Predict(TextInput(**fields) if fields else None, PredictOptions(**options)), state)


def row(task: NextWordTask, state: bytes) -> Tensor:
    return stack([task.state_codec.from_bytes(state)])[0]


def output(outcome: Outcome) -> Any:
    return outcome.output


def predicted_tokens(outcome: Outcome) -> list[str]:
    return [prediction["token"] for prediction in output(outcome)["predictions"]]


def probabilities(answer: Any) -> dict[int, float]:
    """The probabilities of predictions by id."""
    return {prediction["id"]: prediction["probability"] for prediction in answer["predictions"]}


@pytest.mark.parametrize("settings", SETTINGS, ids=json.dumps)
def test_predictions_and_scores_are_those_of_the_trainer(tmp_path: Path, settings: dict[str, Any]) -> None:
    folder = write_language_model(tmp_path, **settings)
    task = load_task(folder, TextLimits())[1]
    ids = [5, 9, 3, 11, 2]
    with torch.no_grad():
        config = json.loads((folder / "config.json").read_text())
        logprobs = make_trainer(config)(torch.tensor([[1, *ids]]))[0][0].log_softmax(-1)
    expected = [float(logprobs[position, index]) for position, index in enumerate(ids)]
    assert output(run(task, Score(TextInput(ids=tuple(ids)))))["logprobs"] == pytest.approx(expected, abs=LOGIT)
    answer = output(predict(task, ids=tuple(ids), top_k=100))
    next_probabilities = {index: float(logprobs[-1, index].exp()) for index in range(2, len(WORDS))}
    assert probabilities(answer) == pytest.approx(next_probabilities, abs=PROBABILITY)
    assert answer["observed"]["mean_logprob"] == pytest.approx(sum(expected) / 5, abs=LOGIT)


@pytest.mark.parametrize("settings", [*SETTINGS, {"dtype": "bfloat16", "tolerance": 0.1}], ids=json.dumps)
def test_steps_of_one_word_have_the_answers_of_a_single_step(tmp_path: Path, settings: dict[str, Any]) -> None:
    task = make_task(tmp_path, **settings)
    text = "the cat don't like a big house , Tom"
    whole = output(run(task, Score(TextInput(text=text))))["logprobs"]
    state, logprobs = None, []
    for word in text.split():
        outcome = predict(task, state, text=word)
        state = outcome.state
        logprobs.append(output(outcome)["observed"]["mean_logprob"])
    # A product in bfloat16 may be rounded up in one case and down in the other.
    scale = BFLOAT16 if settings.get("dtype") == "bfloat16" else 1.0
    assert logprobs == pytest.approx(whole, abs=LOGIT * scale)
    assert_same_predictions(output(predict(task, state)), output(predict(task, text=text)), PROBABILITY * scale)


def test_predictions_are_sorted_by_probability(task: NextWordTask) -> None:
    listed = [*probabilities(output(predict(task, text="the cat", top_k=100))).values()]
    assert listed == sorted(listed, reverse=True)


def test_special_tokens_are_never_predicted(task: NextWordTask) -> None:
    assert set(predicted_tokens(predict(task, text="the cat", top_k=100))) == set(WORDS) - {"<unk>", "<s>"}


def test_top_k_is_the_number_of_predictions(task: NextWordTask) -> None:
    assert len(predicted_tokens(predict(task, text="the cat", top_k=3))) == 3


def test_a_prediction_without_input_observes_nothing(task: NextWordTask) -> None:
    outcome = predict(task)
    assert output(outcome)["observed"] is None
    assert (outcome.timesteps, outcome.observation) == (0, None)


def test_words_match_in_any_case_and_unknown_ones_are_reported(task: NextWordTask) -> None:
    answer = output(run(task, Score(TextInput(text="TOM Don't knooow ZEBRA?"))))
    assert answer["tokens"] == ["Tom", "don't", "knooow", "ZEBRA", "?"]
    assert answer["unknown"] == ["knooow", "ZEBRA"]
    assert output(predict(task, text="tom zebra"))["observed"]["unknown"] == ["zebra"]


def test_text_tokens_and_ids_of_the_same_words_have_the_same_answer(task: NextWordTask) -> None:
    ids = tuple(WORDS.index(word) for word in ("the", "dog", "."))
    answers = [
        predict(task, text="the dog."),
        predict(task, tokens=("the", "dog", ".")),
        predict(task, ids=ids),
    ]
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize(
    ("text", "fed", "prefix"),
    [("the d", 1, "d"), ("the do", 1, "do"), ("D", 0, "d"), ("the ", 1, ""), ("the dog. wh", 3, "wh")],
)
def test_every_prediction_completes_the_unfinished_word(task: NextWordTask, text: str, fed: int, prefix: str) -> None:
    outcome = predict(task, text=text, complete=True, top_k=100)
    assert outcome.timesteps == fed
    assert sorted(predicted_tokens(outcome)) == sorted(word for word in WORDS[2:] if word.lower().startswith(prefix))


def test_a_prefix_of_no_word_has_no_predictions(task: NextWordTask) -> None:
    assert predicted_tokens(predict(task, text="the qqq", complete=True)) == []


def test_greedy_generation_chooses_the_most_probable_token_at_each_step(task: NextWordTask) -> None:
    generated = output(run(task, Generate(TextInput(text="the"), GenerateOptions(6, temperature=0))))
    state = predict(task, text="the").state
    for token, logprob in zip(generated["tokens"], generated["logprobs"], strict=True):
        best = output(predict(task, state, top_k=1))["predictions"][0]
        assert best["token"] == token
        assert math.log(best["probability"]) == pytest.approx(logprob, abs=LOGIT)
        state = predict(task, state, tokens=(token,)).state


def test_the_state_after_a_generation_is_that_after_all_returned_tokens(task: NextWordTask) -> None:
    outcome = run(task, Generate(TextInput(text="the"), GenerateOptions(6, seed=3)))
    tokens = output(outcome)["tokens"]
    fed = predict(task, predict(task, text="the").state, tokens=tuple(tokens)).state
    assert_rounded(row(task, outcome.state), row(task, fed), TERMS, PASSES)
    assert (outcome.timesteps, outcome.generated) == (1 + len(tokens), len(tokens))


def test_a_stop_text_ends_the_output_and_is_part_of_neither_output_nor_state(task: NextWordTask) -> None:
    unstopped = output(run(task, Generate(None, GenerateOptions(12, seed=5))))["tokens"]
    stop = f"{unstopped[4]} {unstopped[5]}"
    outcome = run(task, Generate(None, GenerateOptions(12, seed=5, stop=("never this", stop))))
    assert output(outcome)["tokens"] == unstopped[:4]
    assert output(outcome)["text"] == " ".join(unstopped[:4])
    assert output(outcome)["finish_reason"] == "stop"
    assert len(output(outcome)["logprobs"]) == 4
    fed = predict(task, tokens=tuple(unstopped[:4])).state
    assert_rounded(row(task, outcome.state), row(task, fed), TERMS, PASSES)


def test_equal_seeds_give_equal_texts_and_other_seeds_give_others(task: NextWordTask) -> None:
    texts = [output(run(task, Generate(None, GenerateOptions(8, seed=seed))))["text"] for seed in (1, 1, 2, 3, 4)]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 2


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-30}])
def test_sampling_from_a_single_token_is_greedy(task: NextWordTask, options: dict[str, Any]) -> None:
    greedy = output(run(task, Generate(None, GenerateOptions(8, temperature=0))))
    assert output(run(task, Generate(None, GenerateOptions(8, seed=1, **options))))["tokens"] == greedy["tokens"]


def test_logprobs_do_not_depend_on_the_temperature(task: NextWordTask) -> None:
    generated = output(run(task, Generate(TextInput(text="the"), GenerateOptions(5, temperature=5, seed=1))))
    scored = output(run(task, Score(TextInput(tokens=("the", *generated["tokens"])))))
    assert generated["logprobs"] == pytest.approx(scored["logprobs"][1:], abs=LOGIT)


@pytest.mark.parametrize(
    ("operation", "error", "message"),
    [
        (Predict(TextInput(text="")), InvalidRequest, "input.text has no token"),
        (Predict(TextInput(text=" \n\t")), InvalidRequest, "input.text has no token"),
        (
            Predict(TextInput(ids=(3, len(WORDS)))),
            OutOfVocabulary,
            r"input.ids\[1\] is 46: expected an id from 0 to 45",
        ),
        (Predict(TextInput(ids=(-1,))), OutOfVocabulary, r"input.ids\[0\] is -1"),
        (Predict(TextInput(ids=(10**30,))), OutOfVocabulary, "10000000"),
        (Predict(TextInput(text="the " * 51)), InputTooLong, "input.text has 51 tokens: expected at most 50"),
        (Generate(None, GenerateOptions(21)), InvalidRequest, "options.max_tokens is 21: expected at most 20"),
        (Predict(TextInput(ids=(3,)), PredictOptions(complete=True)), InvalidRequest, "options.complete"),
    ],
)
def test_invalid_input_is_refused_before_anything_runs(
    task: NextWordTask, operation: Operation, error: type[Exception], message: str
) -> None:
    assert len(WORDS) == 46
    with pytest.raises(error, match=message):
        task.start(operation, task.initial_state)


def test_without_an_unknown_token_unknown_words_are_refused_by_name(tmp_path: Path) -> None:
    task = make_task(tmp_path, words=["<s>", "yes", "no"])
    with pytest.raises(InvalidRequest, match="holds 'maybe'"):
        task.start(Predict(TextInput(text="yes maybe")), task.initial_state)


def test_without_a_begin_symbol_state_0_is_the_zero_state(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path, words=["<unk>", "a", "b"])
    checkpoint, task = load_task(folder, TextLimits())
    logits = checkpoint.network.logits(torch.zeros(1, 16))[0]
    expected = {index: float(logits.softmax(0)[index]) for index in (1, 2)}
    assert probabilities(output(predict(task))) == pytest.approx(expected, abs=PROBABILITY)


@pytest.mark.parametrize("text", ["the don'", "the DON'", "the don"])
def test_an_apostrophe_belongs_to_the_unfinished_word(task: NextWordTask, text: str) -> None:
    outcome = predict(task, text=text, complete=True)
    assert predicted_tokens(outcome) == ["don't"]
    assert outcome.timesteps == 1


@pytest.mark.parametrize("text", ["", "  "])
def test_empty_text_is_refused_for_completion_too(task: NextWordTask, text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"input\.text has no token"):
        task.start(Predict(TextInput(text=text), PredictOptions(complete=True)), task.initial_state)


def test_every_spelling_of_a_word_can_be_a_completion(tmp_path: Path) -> None:
    task = make_task(tmp_path, words=["<unk>", "<s>", "US", "us", "use", "no"])
    assert sorted(predicted_tokens(predict(task, text="u", complete=True))) == ["US", "us", "use"]


def test_a_tokenizer_with_ids_beyond_the_vocabulary_is_refused(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"]["Tom"] = 500
    path.write_text(json.dumps(content))
    with pytest.raises(ModelFolderError, match="46 tokens with ids up to 500: expected each id from 0 to 45 once"):
        load_task(folder, TextLimits())


def test_a_log_probability_is_never_positive(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path, golden=False)
    weights = {name: stored.tensor() for name, stored in read_tensor_file(folder / "model.safetensors").tensors.items()}
    weights["output.bias"][7] = 3000.0
    write_tensor_file(folder / "model.safetensors", weights)
    _, task = load_task(folder, TextLimits())
    for _ in range(3):
        logprobs = output(run(task, Score(TextInput(ids=(7,) * 20))))["logprobs"]
        assert max(logprobs[1:]) <= 0.0


@pytest.mark.parametrize("change", ["short", "long", "nan"])
def test_a_damaged_state_is_refused(task: NextWordTask, change: str) -> None:
    raw = task.state_codec.to_bytes(task.initial_state)
    damaged = {"short": raw[:-4], "long": raw + raw, "nan": b"\xff" * 4 + raw[4:]}[change]
    with pytest.raises(StateCorrupted):
        predict(task, damaged, text="the")
    with pytest.raises(StateCorrupted):
        task.state_codec.to_tensors(task.state_codec.from_bytes(damaged))


def test_a_damaged_state_fails_its_own_operation_and_no_other_of_the_batch(task: NextWordTask) -> None:
    raw = task.state_codec.to_bytes(task.initial_state)
    states = [raw, b"\xff" * 4 + raw[4:], raw]
    batch = [task.start(Predict(TextInput(text="the")), task.state_codec.from_bytes(state)) for state in states]
    failures = run_timestep(task, batch)
    assert [type(failure) for failure in failures] == [type(None), StateCorrupted, type(None)]
    assert [operation.finished for operation in batch] == [True, False, True]


def test_the_first_token_after_a_learned_state_has_a_probability(tmp_path: Path) -> None:
    """Without a begin token the learned state itself is what the output layer reads."""
    settings = {"cell": "gru", "num_layers": 1, "golden": False, "special_tokens": {"unknown": "<unk>"}}
    folder = write_language_model(tmp_path, **settings)
    tensors = {name: stored.tensor() for name, stored in read_tensor_file(folder / "model.safetensors").tensors.items()}
    write_tensor_file(folder / "model.safetensors", {**tensors, "rnn.h0_l0": torch.linspace(-2, 3, 16)})
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "initial_state": "learned"}), "utf-8")
    task = load_task(folder, TextLimits())[1]
    scores = [output(run(task, Score(TextInput(ids=(index,)))))["total_logprob"] for index in range(len(WORDS))]
    assert sum(map(math.exp, scores)) == pytest.approx(1, abs=1e-4)
