"""Answers of sequence encoders equal those of torch.nn, whole, in pieces and in batches."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from service.domain.operations import Predict, TextInput
from tests.encoder_folders import LABELS, NAMES, rows_of
from tests.integration.tasks.sequence_encoding.encoder_model import Model, predict, refusal

IDS = [5, 9, 2, 30, 7, 7, 21, 14, 3, 11, 40, 6, 8, 1, 22, 25, 17, 19, 33, 12]
ROWS = rows_of(20)
CUTS = ([20], [1] * 20, [7, 13], [3, 1, 9, 7])
HIDDEN = {"size": 6, "activation": "tanh"}
READOUTS: list[dict[str, Any]] = [
    {"readout": "last"},
    {"readout": "last", "cell": "lstm", "num_layers": 2, "head": [{"size": 7, "activation": "relu"}]},
    {"readout": "mean"},
    {"readout": "max", "cell": "rnn_relu"},
    {"readout": "attention"},
    {"readout": "attention", "attention": HIDDEN, "cell": "lstm"},
]
every_readout = pytest.mark.parametrize(
    "settings", READOUTS, ids=lambda fields: "-".join(map(str, fields.values()))[:24]
)
both_inputs = pytest.mark.parametrize("text", [True, False], ids=["text", "numbers"])


def inputs_of(text: bool) -> list[Any]:
    return [*IDS] if text else ROWS


def in_pieces(model: Model, inputs: list[Any], cut: list[int], **options: Any) -> list[dict[str, Any]]:
    """Return the outputs of a session that is fed pieces of these lengths."""
    state, outputs, start = None, [], 0
    for length in cut:
        outcome = model.feed(inputs[start : start + length], state, **options)
        state, start = outcome.state, start + length
        outputs.append(outcome.output)
    return outputs


def by_label(output: dict[str, Any]) -> list[float]:
    probabilities = {entry["label"]: entry["probability"] for entry in output["labels"]}
    return [probabilities[label] for label in LABELS]


@every_readout
@both_inputs
def test_labels_of_any_readout_are_those_of_torch_at_any_cut(
    tmp_path: Path, settings: dict[str, Any], text: bool
) -> None:
    model, inputs = Model(tmp_path, "classification", text=text, **settings), inputs_of(text)
    expected = model.trainer.answers(inputs).softmax(-1).tolist()
    for cut in CUTS:
        assert by_label(in_pieces(model, inputs, cut)[-1]) == pytest.approx(expected, abs=1e-5)
    ordered = [entry["probability"] for entry in model.feed(inputs).output["labels"]]
    assert ordered == sorted(ordered, reverse=True)


def test_top_k_lists_as_many_labels_and_without_it_all_are_listed(tmp_path: Path) -> None:
    model = Model(tmp_path, "classification", labels=[f"l{index}" for index in range(8)])
    assert len(model.feed(IDS).output["labels"]) == 8
    assert len(model.feed(IDS, top_k=2).output["labels"]) == 2
    assert len(model.feed(IDS, top_k=5).output["labels"]) == 5


def test_labels_that_apply_independently_have_probabilities_of_their_own(tmp_path: Path) -> None:
    model = Model(tmp_path, "classification", multi_label=True)
    expected = model.trainer.answers(IDS).sigmoid().tolist()
    assert by_label(model.feed(IDS).output) == pytest.approx(expected, abs=1e-5)


@both_inputs
def test_a_target_is_compared_with_the_answer(tmp_path: Path, text: bool) -> None:
    model, inputs = Model(tmp_path, "classification", text=text), inputs_of(text)
    outcome = model.feed(inputs, target="bad")
    expected = float(model.trainer.answers(inputs).log_softmax(-1)[1])
    best = outcome.output["labels"][0]["label"]
    assert outcome.output["observed"] == {
        "targets": 1,
        "correct": int(best == "bad"),
        "mean_logprob": pytest.approx(expected, abs=1e-5),
    }
    assert (outcome.observation.tokens, outcome.observation.logprob) == (1, pytest.approx(expected, abs=1e-5))
    assert "observed" not in model.feed(inputs).output


def test_a_target_of_several_labels_is_compared_label_by_label(tmp_path: Path) -> None:
    model = Model(tmp_path, "classification", multi_label=True)
    logits = model.trainer.answers(IDS)
    expected = F.logsigmoid(logits * torch.tensor([1.0, -1.0, 1.0]))
    observed = model.feed(IDS, target=("good", "neither")).output["observed"]
    assert observed["mean_logprob"] == pytest.approx(float(expected.mean()), abs=1e-5)
    assert (observed["targets"], observed["correct"]) == (3, int((expected > -np.log(2)).sum()))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("worse", "input.target | input.target is 'worse': expected a label of the model (good, bad, neither)"),
        (3.0, "input.target | input.target is no text: expected a label of the model (good, bad, neither)"),
        (("good",), "input.target | input.target is no text: expected a label of the model (good, bad, neither)"),
    ],
)
def test_a_target_that_is_no_label_is_refused(tmp_path: Path, target: Any, message: str) -> None:
    assert refusal(Model(tmp_path, "classification"), IDS, target=target) == message


@both_inputs
@pytest.mark.parametrize("activation", ["none", "sigmoid", "softplus"])
def test_numbers_of_every_timestep_are_those_of_torch_at_any_cut(tmp_path: Path, text: bool, activation: str) -> None:
    model, inputs = Model(tmp_path, "regression", text=text, activation=activation), inputs_of(text)
    expected = model.trainer.answers(inputs).double().numpy() * [4.0, 0.5] + [10.0, 2.0]
    for cut in CUTS:
        outputs = in_pieces(model, inputs, cut)
        values = [row for output in outputs for row in output["values"]]
        np.testing.assert_allclose(values, expected, atol=4e-5)
        assert outputs[0]["names"] == NAMES
    last = model.feed(inputs, every="last").output["values"]
    np.testing.assert_allclose(last, expected[-1:], atol=4e-5)


@every_readout
def test_a_readout_of_a_stream_has_a_value_at_every_timestep(tmp_path: Path, settings: dict[str, Any]) -> None:
    model = Model(tmp_path, "regression", text=False, **settings)
    expected = [model.trainer.answers(ROWS[: end + 1]).double().numpy() * [4.0, 0.5] + [10.0, 2.0] for end in range(20)]
    np.testing.assert_allclose(model.feed(ROWS, every="step").output["values"], expected, atol=4e-5)
    np.testing.assert_allclose(model.feed(ROWS).output["values"], expected[-1:], atol=4e-5)


def test_a_target_of_numbers_gives_the_mean_absolute_error(tmp_path: Path) -> None:
    model = Model(tmp_path, "regression", text=False)
    values = np.array(model.feed(ROWS[:3]).output["values"])
    target = ((1.0, 2.0), (None, 2.0), (3.0, None))
    outcome = model.feed(ROWS[:3], target=target)
    errors = np.abs(values - np.array([[1.0, 2.0], [np.nan, 2.0], [3.0, np.nan]]))
    assert outcome.output["observed"] == {"mean_absolute_error": pytest.approx(np.nanmean(errors), rel=1e-5)}
    assert (outcome.observation.values, outcome.observation.absolute_error) == (4, pytest.approx(np.nansum(errors)))
    one = model.feed(ROWS[:3], target=(1.0, 2.0), every="last").output["observed"]["mean_absolute_error"]
    assert one == pytest.approx(np.abs(values[-1] - [1.0, 2.0]).mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("x", "input.target is a text: expected 3 rows, one for each answer, of 2 numbers, one for each name"),
        ((1.0, 2.0, 3.0), "input.target has the shape [3]: expected 3 rows"),
        (((1.0,), (2.0,), (3.0,)), "input.target has the shape [3, 1]: expected 3 rows"),
        (((1.0, 1.0), (2.0, 1.0), (3.0,)), "input.target has the shape [3]: expected 3 rows"),
        (1.0, "input.target has the shape []: expected 3 rows"),
    ],
)
def test_a_target_of_another_shape_is_refused(tmp_path: Path, target: Any, message: str) -> None:
    assert message in refusal(Model(tmp_path, "regression", text=False), ROWS[:3], target=target)


def test_an_embedding_is_the_readout_itself(tmp_path: Path) -> None:
    for index, settings in enumerate(READOUTS):
        model = Model(tmp_path / str(index), "embedding", **settings)
        expected = model.trainer.answers(IDS)
        for cut in CUTS:
            vector = in_pieces(model, [*IDS], cut)[-1]["embedding"]
            np.testing.assert_allclose(vector, expected, atol=1e-5)
        assert len(model.feed(IDS, every="step").output["embedding"]) == len(IDS)
    assert "nothing can be compared" in refusal(model, IDS, target="good")


def test_both_directions_give_a_vector_of_every_word(tmp_path: Path) -> None:
    model = Model(tmp_path, "embedding", readout="each", bidirectional=True, num_layers=2)
    expected = model.trainer.answers(IDS)
    np.testing.assert_allclose(model.feed(IDS, every="step").output["embedding"], expected, atol=1e-5)
    np.testing.assert_allclose(model.feed(IDS).output["embedding"], expected[-1], atol=1e-5)


@pytest.mark.parametrize("readout", ["last", "last_output", "mean", "max", "attention"])
def test_both_directions_answer_whole_sequences(tmp_path: Path, readout: str) -> None:
    model = Model(tmp_path, "classification", readout=readout, bidirectional=True, cell="lstm")
    sequences = [IDS, IDS[:7], IDS[3:9], IDS[:1]]
    outcomes = model.together([(ids, None) for ids in sequences])
    for ids, outcome in zip(sequences, outcomes, strict=True):
        expected = model.trainer.answers(ids).softmax(-1).tolist()
        assert by_label(outcome.output) == pytest.approx(expected, abs=1e-5)
        assert by_label(model.feed(ids).output) == pytest.approx(expected, abs=1e-5)
        assert (outcome.state, outcome.timesteps) == (b"", len(ids))


@both_inputs
def test_tags_of_every_timestep_are_those_of_torch_at_any_cut(tmp_path: Path, text: bool) -> None:
    model, inputs = Model(tmp_path, "tagging", text=text), inputs_of(text)
    logits = model.trainer.answers(inputs)
    best = logits.softmax(-1).max(-1)
    for cut in CUTS:
        tags = [tag for output in in_pieces(model, inputs, cut) for tag in output["tags"]]
        assert [tag["tag"] for tag in tags] == [LABELS[index] for index in best.indices]
        assert [tag["probability"] for tag in tags] == pytest.approx(best.values.tolist(), abs=1e-5)
        assert all(("token" in tag) == text for tag in tags)


def test_a_target_of_tags_is_compared_tag_by_tag(tmp_path: Path) -> None:
    model = Model(tmp_path, "tagging")
    logprobs = model.trainer.answers(IDS[:3]).log_softmax(-1)
    observed = model.feed(IDS[:3], target=("good", "bad", "good")).output["observed"]
    expected = float(logprobs[[0, 1, 2], [0, 1, 0]].mean())
    assert observed["mean_logprob"] == pytest.approx(expected, abs=1e-5)
    assert observed["targets"] == 3
    assert refusal(model, IDS[:3], target=("good",)) == (
        "input.target | input.target has 1 labels: expected 3, one for each timestep"
    )


def test_a_crf_chooses_the_most_probable_tags_together(tmp_path: Path) -> None:
    model = Model(tmp_path, "tagging", crf=True, bidirectional=True)
    logits, rules = model.trainer.answers(IDS[:6]).double(), model.trainer.crf.detach().double()
    paths = torch.cartesian_prod(*[torch.arange(3)] * 6)
    scores = logits[torch.arange(6), paths].sum(1) + rules[0][paths[:, 0]] + rules[1][paths[:, -1]]
    scores += rules[2:][paths[:, :-1], paths[:, 1:]].sum(1)
    best, shares = paths[scores.argmax()], scores.softmax(0)
    tags = model.feed(IDS[:6]).output["tags"]
    assert [tag["tag"] for tag in tags] == [LABELS[index] for index in best]
    expected = [float(shares[paths[:, place] == best[place]].sum()) for place in range(6)]
    assert [tag["probability"] for tag in tags] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"bidirectional": True}, "bidirectional is true"), ({"crf": True}, "crf is true")],
)
def test_a_network_of_whole_sequences_has_no_session(tmp_path: Path, settings: dict[str, Any], reason: str) -> None:
    model = Model(tmp_path, "tagging", **settings)
    assert model.task.initial_state is None
    with pytest.raises(Exception, match=f"model has no sessions: {reason}"):
        model.task.state_codec.to_bytes(None)


@pytest.mark.parametrize("dtype", [None, "int8"])
@every_readout
def test_answers_in_a_batch_are_those_alone(tmp_path: Path, settings: dict[str, Any], dtype: Any) -> None:
    model = Model(tmp_path, "regression", dtype=dtype, **settings)
    states = [None, *(model.feed(IDS[:length]).state for length in (3, 1, 8))]
    requests = [(IDS[start:], state) for start, state in zip((0, 4, 11, 2), states, strict=True)]
    alone = [model.feed(ids, state, every="step") for ids, state in requests]
    for one, together in zip(alone, model.together(requests, every="step"), strict=True):
        if dtype == "int8":
            assert together == one
        np.testing.assert_allclose(together.output["values"], one.output["values"], atol=4e-5)


def test_a_state_is_restored_from_its_bytes(tmp_path: Path) -> None:
    model = Model(tmp_path, "classification", text=False, readout="attention")
    state, codec = model.feed(ROWS).state, model.task.state_codec
    assert len(state) == codec.state_bytes
    assert codec.to_bytes(codec.from_bytes(state)) == state
    with pytest.raises(Exception, match="expected"):
        codec.from_bytes(state[:-1])
    for damaged in (
        state[:-4] + b"\x00\x00\xc0\x7f",
        state[:8] + b"\x00\x00\xc0\x7f" + state[12:],
        b"\xff" * 8 + state[8:],
    ):
        with pytest.raises(Exception, match="the record is kept"):
            model.feed(ROWS, damaged)


def test_without_input_a_session_answers_from_its_state(tmp_path: Path) -> None:
    model = Model(tmp_path, "regression", text=False)
    assert refusal(model, None) == "input | input is missing: expected at least one timestep before an answer"
    outcome = model.feed(ROWS)
    again = model.feed(None, outcome.state)
    assert again.output["values"] == outcome.output["values"][-1:]
    assert (again.state, again.timesteps) == (outcome.state, 0)
    tagger = Model(tmp_path / "tags", "tagging")
    assert tagger.feed(None, tagger.feed(IDS).state).output == {"tags": []}


def test_a_begin_token_is_fed_before_the_first_one(tmp_path: Path) -> None:
    tokens = {"unknown": "<unk>", "begin": "<s>"}
    model = Model(tmp_path, "classification", readout="mean", special_tokens=tokens)
    expected = model.trainer.answers([1, *IDS]).softmax(-1).tolist()
    outcome = model.feed(IDS)
    assert by_label(outcome.output) == pytest.approx(expected, abs=1e-5)
    assert outcome.timesteps == len(IDS)
    both = Model(tmp_path / "both", "tagging", bidirectional=True, special_tokens=tokens)
    tags = both.feed(IDS).output["tags"]
    best = both.trainer.answers([1, *IDS])[1:].softmax(-1).max(-1)
    assert [tag["probability"] for tag in tags] == pytest.approx(best.values.tolist(), abs=1e-5)


def test_missing_values_are_told_to_a_network_that_reads_indicators(tmp_path: Path) -> None:
    model = Model(tmp_path, "regression", text=False, missing_indicator=True)
    expected = model.trainer.answers(ROWS).double().numpy() * [4.0, 0.5] + [10.0, 2.0]
    np.testing.assert_allclose(model.feed(ROWS).output["values"], expected, atol=4e-5)


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ([[1.0, 2.0]], {}, "input.values[0] | input.values[0] has 2 numbers: expected 3 (rain, heat, wind)"),
        (ROWS * 3, {}, "input.values | input.values has 60 rows: expected at most 50"),
        (
            ROWS,
            {"top_k": 3},
            "options.top_k | options.top_k is 3: expected it to be left out, since regression has every",
        ),
        (IDS, {}, "input.ids | input.ids is given: expected input.values, since the model reads observations"),
    ],
)
def test_an_input_that_does_not_fit_is_refused(tmp_path: Path, inputs: Any, options: Any, message: str) -> None:
    assert refusal(Model(tmp_path, "regression", text=False), inputs, **options) == message


def test_every_step_of_a_whole_readout_is_refused(tmp_path: Path) -> None:
    model = Model(tmp_path, "regression", readout="mean", bidirectional=True)
    assert refusal(model, IDS, every="step").startswith("options.every | options.every is 'step': expected 'last'")


def test_the_cost_of_an_operation_is_known_before_it_starts(tmp_path: Path) -> None:
    texts, numbers = Model(tmp_path, "classification"), Model(tmp_path / "numbers", "regression", text=False)
    cost = texts.task.cost(Predict(TextInput(text="a" * 20)), in_session=True)
    assert (cost.timesteps, cost.numbers) == (20, 6)
    assert texts.task.cost(Predict(TextInput(text="a" * 2000)), in_session=True).timesteps == 50
    cost = numbers.task.cost(predict(ROWS), in_session=True)
    assert (cost.timesteps, cost.numbers) == (20, 40)
    assert cost.memory > 20 * 3 * 8


def test_a_stream_of_many_timesteps_stays_that_of_the_whole(tmp_path: Path) -> None:
    model = Model(tmp_path, "embedding", readout="mean", text=False)
    rows, state = rows_of(2000), None
    for start in range(0, 2000, 50):
        outcome = model.feed(rows[start : start + 50], state)
        state = outcome.state
    np.testing.assert_allclose(outcome.output["embedding"], model.trainer.answers(rows), atol=1e-5)
