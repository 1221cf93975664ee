"""Parts that a network has at once: windows, convolutions, learned states, attention, decoders; against plain torch."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from service.domain.errors import InvalidRequest, ModelFolderError
from service.domain.operations import ComputeDtype, Outcome, Predict, PredictOptions, SeriesInput, TextInput
from service.engine.loaded_models import LoadedModel, ModelRegistry, load_version
from service.engine.runner import run_to_completion
from service.engine.state_export import SafetensorsStateFiles
from service.tasks.limits import TextLimits
from tests.combined_networks import IDS, ROWS, TIMES, Combined
from tests.folders import WORDS
from tests.integration.engine.running_engine import RunningEngine

CAUSAL = [{"channels": 7, "kernel": 3, "padding": "causal", "activation": "relu"}]
DILATED = [*CAUSAL, {"channels": 6, "kernel": 2, "dilation": 2, "padding": "causal"}]
SAME = [{"channels": 7, "kernel": 4, "padding": "same", "activation": "relu"}]
MIXED = [{"channels": 5, "kernel": 3, "padding": "valid"}, *SAME, {"channels": 6, "kernel": 2, "padding": "causal"}]
VALID = [{"channels": 7, "kernel": 3, "padding": "valid"}]
LEARNED = {"initial_state": "learned"}
BOTH = {"bidirectional": True}
ATTENTION = {"readout": "attention", "attention": {"size": 5, "activation": "tanh"}}
LEFT, RIGHT = ({"side": side, "token": "the", "length": 6} for side in ("left", "right"))
DECODER = {"cell": "lstm", "num_layers": 1, "input_size": 1, "hidden_size": 8}
#: What a number may differ by, the widest scale of which is 4.
CLOSE = 4e-5
CUTS = [[TIMES], [1] * TIMES, [4, 7], [2, 1, 8]]
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "convolution and attention": ("classification", {"window": 5, "convolution": CAUSAL, **ATTENTION}),
    "all of them": ("classification", {"window": 5, "convolution": DILATED, **LEARNED, **ATTENTION, **BOTH}),
    "whole kernels": ("classification", {"window": 6, "convolution": VALID, "cell": "lstm", **BOTH}),
    "padding": ("classification", {"padding": LEFT, "convolution": CAUSAL, **LEARNED, "readout": "mean"}),
    "each timestep": ("regression", {"window": 4, "convolution": CAUSAL, **LEARNED, **BOTH}),
    "a stream with attention": ("classification", {"convolution": DILATED, **LEARNED, **ATTENTION}),
    "a stream of whole kernels": ("embedding", {"convolution": VALID, **LEARNED, "readout": "last"}),
    "words": ("next-word", {"window": 5, "convolution": CAUSAL, **LEARNED, "num_layers": 2}),
    "words of whole kernels": ("next-word", {"window": 5, "convolution": VALID, **LEARNED}),
    "padded words": ("next-word", {"padding": RIGHT, "convolution": CAUSAL, **LEARNED}),
    "zeros on both sides": ("classification", {"window": 5, "convolution": SAME, **ATTENTION}),
    "zeros on both sides of padding": ("classification", {"padding": LEFT, "convolution": SAME, **BOTH}),
    "zeros on both sides of whole kernels": ("embedding", {"window": 7, "convolution": MIXED, "readout": "last"}),
    "zeros on both sides of each timestep": ("regression", {"window": 4, "convolution": SAME}),
    "zeros on both sides of words": ("next-word", {"window": 5, "convolution": SAME, **LEARNED}),
    "zeros on both sides of rows": ("forecasting", {"window": 5, "convolution": [*SAME, *SAME], "decoder": DECODER}),
    "rows": ("forecasting", {"window": 5, "convolution": VALID, **LEARNED}),
    "rows in front of a decoder": ("forecasting", {"window": 5, "convolution": CAUSAL, **LEARNED, "decoder": DECODER}),
    "a stream in front of a decoder": ("forecasting", {"convolution": VALID, **LEARNED, "decoder": DECODER}),
}  # fmt: skip


class Model:
    """A loaded folder beside its reference."""

    def __init__(self, root: Path, task: str, config: dict[str, Any], dtype: ComputeDtype | None = None) -> None:
        self.reference = Combined(root, task, config)
        self.loaded: LoadedModel = load_version(self.reference.folder, TextLimits(50, 20, 30), dtype)
        self.task = self.loaded.task

    def operation(self, start: int, end: int) -> Predict:
        lists = self.reference.config["task"] in {"next-word", "classification"}
        options = {"top_k": 100} if lists else {}
        return Predict(self._input(start, end), PredictOptions(**options, given=frozenset(options)))

    def _input(self, start: int, end: int) -> TextInput | SeriesInput:
        if self.reference.text:
            return TextInput(ids=tuple(IDS[start:end]))
        return SeriesInput(tuple(map(tuple, ROWS[start:end].tolist())))

    def started(self, start: int, end: int, state: bytes | None = None) -> Any:
        initial = self.task.initial_state if state is None else self.task.state_codec.from_bytes(state)
        return self.task.start(self.operation(start, end), initial)

    def feed(self, start: int, end: int, state: bytes | None = None) -> Outcome:
        return run_to_completion(self.task, [self.started(start, end, state)])[0]

    def refusal(self) -> str:
        """The reason why there are no sessions."""
        with pytest.raises(InvalidRequest) as caught:
            self.task.state_codec.to_bytes(None)
        return caught.value.message

    def assert_right(self, outcome: Outcome, start: int, end: int) -> None:
        """Assert that an answer to the inputs from `start` on has the numbers of the reference."""
        config, output = self.reference.config, outcome.output
        ends = range(start + 1, end + 1) if config.get("readout") == "each" else [end]
        expected = torch.stack([self.reference.answer(one) for one in ends]).double()
        match config["task"]:
            case "next-word":
                found = {one["id"]: one["probability"] for one in output["predictions"]}
                assert len(found) > len(WORDS) - 3
                expected = expected[0].softmax(-1)[[*found]]
                numbers = [*found.values()]
            case "classification":
                found = {one["label"]: one["probability"] for one in output["labels"]}
                numbers, expected = [found[label] for label in config["labels"]], expected[0].softmax(-1)
            case "forecasting":
                mean, scale = (self.reference.scaling[name][0] for name in ("mean", "scale"))
                numbers, expected = np.ravel(output["mean"]), expected[0] * scale + mean
            case "regression":
                numbers = output["values"]
                expected = expected * torch.tensor(config["target_scale"]) + torch.tensor(config["target_mean"])
            case _:
                numbers, expected = output["embedding"], expected[0]
        np.testing.assert_allclose(numbers, expected, atol=CLOSE, rtol=0)


#: Networks that read whole sequences only.
WHOLE: dict[str, tuple[str, dict[str, Any]]] = {
    "zeros on both sides": ("classification", {"convolution": SAME, **ATTENTION}),
    "zeros on both sides, and in front": ("classification", {"convolution": MIXED[1:], **LEARNED, "readout": "max"}),
    "a second stack of both directions": (
        "classification",
        {"stacks": [{"cell": "lstm", "num_layers": 1, "input_size": 12, "hidden_size": 5, **BOTH}], "input_size": 3},
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_sequences_are_answered_as_plain_torch_does_and_have_no_sessions(tmp_path: Path, name: str) -> None:
    model = Model(tmp_path, *WHOLE[name])
    assert model.loaded.version.verified
    pieces = [(0, 3), (0, TIMES), (0, 1), (0, 8)]
    for piece, outcome in zip(
        pieces, run_to_completion(model.task, [model.started(*one) for one in pieces]), strict=True
    ):
        model.assert_right(outcome, *piece)
    reason = "bidirectional is true" if "stacks" in WHOLE[name][1] else "padding of a convolution is same"
    assert f"model has no sessions: {reason}" in model.refusal()


@pytest.mark.parametrize("task", ["next-word", "forecasting"])
def test_zeros_behind_the_last_timestep_need_a_window(tmp_path: Path, task: str) -> None:
    with pytest.raises(ModelFolderError, match=r"convolution.1.padding: found same, expected causal or valid, or a"):
        Model(tmp_path, task, {"convolution": [*CAUSAL, *SAME]})


@pytest.fixture(params=NETWORKS)
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Model:
    return Model(tmp_path, *NETWORKS[request.param])


def test_answers_are_those_of_plain_torch_at_any_cut(model: Model) -> None:
    assert model.loaded.version.verified
    for cut in CUTS:
        fed, state = 0, None
        for count in cut:
            outcome = model.feed(fed, fed + count, state)
            model.assert_right(outcome, fed, fed + count)
            fed, state = fed + count, outcome.state


def test_what_shares_a_pass_is_answered_as_alone(model: Model) -> None:
    state = model.feed(0, 5).state
    pieces = [(0, 3, None), (5, 11, state), (0, TIMES, None), (5, 6, state), (0, 1, None)]
    outcomes = run_to_completion(model.task, [model.started(*piece) for piece in pieces])
    for (start, end, _), outcome in zip(pieces, outcomes, strict=True):
        model.assert_right(outcome, start, end)


def test_a_session_goes_on_from_its_file(model: Model) -> None:
    files, version = SafetensorsStateFiles(ModelRegistry([model.loaded])), model.loaded.version
    state = model.feed(0, 4).state
    read = files.read(files.write(version, state, {"a": "b"})).state(version)
    assert read == state
    model.assert_right(model.feed(4, TIMES, read), 4, TIMES)


@pytest.mark.parametrize("name", NETWORKS)
async def test_int8_and_a_batch_of_one_give_the_same_bits_whatever_is_under_way(tmp_path: Path, name: str) -> None:
    model = Model(tmp_path, *NETWORKS[name], "int8")
    pieces = [(0, 5), (0, TIMES), (3, 9), (0, 5), (0, 1)]
    alone = [model.feed(*piece) for piece in pieces]
    assert run_to_completion(model.task, [model.started(*piece) for piece in pieces]) == alone
    plain = load_version(model.reference.folder, TextLimits(50, 20, 30))
    async with RunningEngine(ModelRegistry([plain]), max_batch=1) as running:
        runs = [running.run(running.first, model.operation(*piece)) for piece in pieces]
        together = await asyncio.gather(*runs)
        assert together[0] == together[3] == await running.run(running.first, model.operation(*pieces[0]))
