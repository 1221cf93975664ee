"""The arithmetic that a model is loaded in: what it is checked against, what it costs, and who sees it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from service.cli import app
from service.domain.errors import ModelFolderError
from service.domain.operations import ComputeDtype, Predict, PredictOptions, TextInput
from service.engine.loaded_models import load_version
from service.engine.runner import run_to_completion
from service.model_folder.safetensors_io import read_tensor_file, write_tensor_file
from service.tasks.architectures import load_task
from service.tasks.limits import TextLimits
from service.tooling.verify.verifier import verify
from tests.folders import write_language_model
from tests.forecast_folders import write_forecaster
from tests.registered import read_checkpoint
from tests.rounding import bound, largest_golden
from tests.translation_folders import write_encoder_decoder

REDUCED: tuple[ComputeDtype, ...] = ("bfloat16", "int8")
WRITERS: list[Callable[[Path], Path]] = [write_language_model, write_encoder_decoder, write_forecaster]


def edit(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    path = folder / "model.safetensors"
    weights = {name: one.tensor() for name, one in read_tensor_file(path).tensors.items()}
    change(weights)
    write_tensor_file(path, weights)


def rounding(folder: Path) -> float:
    """How far float32 may be off: sums of at most 50 products in a pass, two layers and an output for seven tokens."""
    return bound(largest_golden(folder), terms=50, passes=2 * 7 + 7)


@pytest.mark.parametrize("dtype", REDUCED)
@pytest.mark.parametrize("write", WRITERS)
def test_a_reduced_arithmetic_is_as_far_off_as_it_says(
    tmp_path: Path, write: Callable[[Path], Path], dtype: ComputeDtype
) -> None:
    folder = write(tmp_path)
    own, reduced = verify(folder), verify(folder, dtype)
    assert (own.dtype, reduced.dtype) == ("float32", dtype)
    assert own.fingerprint == reduced.fingerprint
    assert own.difference is not None
    assert reduced.difference is not None
    assert reduced.tolerance is not None
    assert own.difference <= rounding(folder) < reduced.difference < reduced.tolerance
    assert f"in {dtype} differs by" in reduced.render()


@pytest.mark.parametrize("dtype", get_args(ComputeDtype))
def test_broken_weights_are_refused_whatever_the_arithmetic(tmp_path: Path, dtype: ComputeDtype) -> None:
    folder = write_language_model(tmp_path)
    # Far less than int8 may be off.
    edit(folder, lambda weights: weights["output.bias"].__setitem__(3, weights["output.bias"][3] + 0.001))
    with pytest.raises(ModelFolderError, match=r"outputs.logits: .* expected at most 0.0001. The weights fit, so"):
        read_checkpoint(folder, dtype)


def test_an_arithmetic_that_is_too_coarse_for_a_network_is_refused(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path, golden=False)

    def hide(weights: dict[str, Tensor]) -> None:
        """Put a number beside the others that nothing reads, and that the one scale of a row must reach."""
        weights["embedding.weight"][:, 0] = 1e6
        weights["rnn.weight_ih_l0"][:, 0] = 0.0

    edit(folder, hide)
    network, ids = read_checkpoint(folder).network, torch.tensor([[1, 2, 3, 4]])
    features, state = network.sequence(ids, network.initial_recurrent_state(1))
    expected = {f"state.{name}": one for name, one in state.items()}
    write_tensor_file(
        folder / "golden.safetensors", {"inputs.ids": ids, "outputs.logits": network.logits(features), **expected}
    )
    assert verify(folder).verified
    with pytest.raises(
        ModelFolderError, match=r"too coarse for it\. Serve it in float32, see the setting UNROLL_DTYPE"
    ):
        verify(folder, "int8")


def test_a_network_may_run_wider_than_it_was_made_for(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path, dtype="bfloat16", tolerance=0.1)
    narrow, wide = verify(folder), verify(folder, "float32")
    assert (narrow.dtype, wide.dtype) == ("bfloat16", "float32")
    assert narrow.difference is not None
    assert wide.difference is not None
    assert wide.difference <= rounding(folder) < narrow.difference


@pytest.mark.parametrize("settings", [{}, {"cell": "gru", "hidden_size": 37}, {"tie_weights": True}], ids=json.dumps)
def test_an_int8_answer_is_the_same_to_the_last_bit_whatever_shares_its_batch(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    task = load_task(write_language_model(tmp_path, **settings), TextLimits(), "int8")[1]
    texts = ["the cat", "I know Tom and Mary", "a", "she want to go home .", "they", "dog", "big house"]

    def run(chosen: list[str]) -> list[tuple[bytes, object]]:
        sequences = [
            task.start(Predict(TextInput(text=text), PredictOptions(top_k=40)), task.initial_state) for text in chosen
        ]
        return [(outcome.state, outcome.output) for outcome in run_to_completion(task, sequences)]

    alone = [run([text])[0] for text in texts]
    assert run(texts) == alone
    assert run(texts[2:5]) == alone[2:5]


def test_the_served_version_names_its_arithmetic_and_the_log_how_far_off_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    folder = write_language_model(tmp_path, "words")
    assert load_version(folder, TextLimits()).version.dtype == "float32"
    assert not caplog.records
    assert load_version(folder, TextLimits(), "int8").version.dtype == "int8"
    (record,) = caplog.records
    assert (record.__dict__["model"], record.__dict__["dtype"]) == ("words", "int8")
    assert 0 < float(record.__dict__["difference"]) < float(record.__dict__["allowed"])


def test_the_setting_reaches_the_model_that_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("first", "second"):
        write_language_model(tmp_path, name)
    monkeypatch.setenv("UNROLL_DTYPE", "second=int8")

    def ask(model: str) -> object:
        found = CliRunner().invoke(app, ["predict", model, "the cat", "--models", str(tmp_path), "--json"])
        return json.loads(found.output)

    assert ask("first") != ask("second")
    monkeypatch.delenv("UNROLL_DTYPE")
    assert ask("first") == ask("second")
