"""Files of Keras: packed as `inspect` proposes, they give the values that Keras computes."""

import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from service.domain.errors import ModelFolderError
from service.tasks.architectures import load_task
from service.tasks.limits import TextLimits
from service.tooling.formats.keras.hdf5 import read_hdf5
from service.tooling.formats.registry import read_network
from service.tooling.inspect.report import inspect
from service.tooling.pack.packer import pack
from service.tooling.preprocessing.vocabularies.word_list import build_word_tokenizer
from tests.integration.tooling.formats.networks import FOLDER

EXPECTED = load_file(FOLDER / "expected-keras.safetensors")
FORECASTER, RELU, CLASSIFIER = (
    "keras-forecaster-lstm.keras",
    "keras-lstm-relu.keras",
    "keras-classifier-bigru.keras",
)
FRAMES, NEXT_WORD = "keras-frames-gru-v1.h5", "keras-next-word.h5"


def packed(tmp_path: Path, name: str) -> Any:
    """Pack a file with what `inspect` proposes, and return its network."""
    proposal = inspect(FOLDER / name).proposal
    assert proposal is not None
    given_fields = {field: proposal.config[field] for field in proposal.guessed}
    options: dict[str, Any] = {"preprocessor": "identity"}
    if size := proposal.config.get("vocab_size"):
        words = [f"w{index}" for index in range(size - 1)]
        build_word_tokenizer([*words, "<unk>"]).save(str(tmp_path / "tokenizer.json"))
        options = {"tokenizer": tmp_path / "tokenizer.json"}
        given_fields["special_tokens"] = {"unknown": "<unk>"}
    target = pack(FOLDER / name, tmp_path, "keras", "1", settings=given_fields, **options)
    checkpoint, _ = load_task(target.path, TextLimits(input_tokens=100))
    return checkpoint.network


def answer(network: Any, inputs: Tensor) -> Tensor:
    """Return the outputs of a sequence encoder for one sequence."""
    outputs, _ = network.sequence(inputs[None])
    answers: Tensor = network.answer(network.read_out_sequence(outputs[0]))
    return answers


@pytest.mark.parametrize("name", [FORECASTER, RELU])
def test_numbers_after_a_sequence_are_those_of_keras(tmp_path: Path, name: str) -> None:
    network = packed(tmp_path, name)
    for values, expected in zip(EXPECTED[f"{name}/inputs.values"], EXPECTED[f"{name}/outputs"], strict=True):
        assert torch.allclose(answer(network, values), expected, atol=1e-5)


def test_labels_of_frames_are_those_of_keras(tmp_path: Path) -> None:
    network = packed(tmp_path, FRAMES)
    for values, expected in zip(EXPECTED[f"{FRAMES}/inputs.values"], EXPECTED[f"{FRAMES}/outputs"], strict=True):
        assert torch.allclose(answer(network, values).softmax(-1), expected, atol=1e-5)


def test_masked_tokens_are_left_out_and_classes_are_those_of_keras(tmp_path: Path) -> None:
    network = packed(tmp_path, CLASSIFIER)
    for ids, expected in zip(EXPECTED[f"{CLASSIFIER}/inputs.ids"], EXPECTED[f"{CLASSIFIER}/outputs"], strict=True):
        logits = answer(network, ids[ids > 0].long())
        assert torch.allclose(logits.softmax(-1), expected, atol=1e-5)


def test_next_words_are_proposed_with_both_cells() -> None:
    report = inspect(FOLDER / NEXT_WORD)
    assert report.proposal is not None
    config = report.proposal.config
    assert (config["task"], config["cell"], config["stacks"][0]["cell"]) == ("next-word", "lstm", "rnn_tanh")
    assert report.looks_like == "a Keras model (Embedding -> LSTM -> SimpleRNN -> Dense)"


def test_options_of_cells_are_proposed() -> None:
    proposal = inspect(FOLDER / FRAMES).proposal
    assert proposal is not None
    assert proposal.config["cell_options"] == {"gate_activation": "hard_sigmoid", "reset": "before"}
    assert "shape of an input: (24, 3)" in inspect(FOLDER / RELU).beside


def rewritten(tmp_path: Path, name: str, **changes: Any) -> Path:
    """Copy a `.keras` file, with changes to the configuration of its recurrent layer."""
    target = tmp_path / "changed.keras"
    with zipfile.ZipFile(FOLDER / name) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.namelist():
            content = old.read(member)
            if member == "config.json":
                model = json.loads(content)
                for layer in model["config"]["layers"]:
                    if layer["class_name"] == "LSTM":
                        layer["class_name"] = changes.pop("class_name", "LSTM")
                        layer["config"] |= changes
                content = json.dumps(model).encode()
            new.writestr(member, content)
    return target


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_name": "Lambda"}, "the Keras layer 'Lambda'"),
        ({"class_name": "ConvLSTM2D"}, "the Keras layer 'ConvLSTM2D'"),
        ({"class_name": "GRU"}, "weights "),
        ({"activation": {"class_name": "Custom", "config": {}}}, "the activation 'Custom'"),
    ],
)
def test_what_is_not_read_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelFolderError, match=message):
        read_network(rewritten(tmp_path, RELU, **changes))


def test_an_option_that_is_not_served_gets_no_proposal(tmp_path: Path) -> None:
    report = inspect(rewritten(tmp_path, RELU, time_major=True))
    assert report.proposal is None
    assert "time_major of lstm_2 is True, which is not served" in report.looks_like


def test_weights_without_layers_are_told_so(tmp_path: Path) -> None:
    with zipfile.ZipFile(FOLDER / RELU) as archive:
        (tmp_path / "model.weights.h5").write_bytes(archive.read("model.weights.h5"))
    with pytest.raises(ModelFolderError, match=r"without the layers of a model, such as of save_weights"):
        read_network(tmp_path / "model.weights.h5")


def test_layers_that_are_no_text_are_told_so(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.attrs.create("model_config", b'{"class_name": "\xff"}', dtype=h5py.string_dtype())
    with pytest.raises(ModelFolderError, match=r"expected"):
        read_network(tmp_path / "x.h5")


def refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ModelFolderError, match=message):
        read_hdf5(tmp_path / "x.h5", content)


def test_links_and_external_data_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(16))
    for message, change in (
        ("a link to another place", lambda file: file.__setitem__("a", h5py.ExternalLink("other.h5", "/x"))),
        ("a link to another place", lambda file: file.__setitem__("a", h5py.SoftLink("/x"))),
        (
            "in another file",
            lambda file: file.create_dataset("a", (2,), "f8", external=[(str(tmp_path / "secret"), 0, 16)]),
        ),
        ("which the file does not hold", lambda file: file.create_dataset("a", (2**40,), "f4")),
        (
            "which the file does not hold",
            lambda file: file.create_dataset("a", (2**34,), "f4", chunks=(2**20,), compression="gzip"),
        ),
        ("more than", lambda file: [file.create_group("/".join("a" * 20))]),
    ):
        content = io.BytesIO()
        with h5py.File(content, "w") as file:
            change(file)
        refused(tmp_path, content.getvalue(), message)


def test_a_compressed_bomb_is_refused(tmp_path: Path) -> None:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.create_dataset("a", data=np.zeros(2**27, np.float32), chunks=(2**22,), compression="gzip", shuffle=True)
    refused(tmp_path, content.getvalue(), "which the file does not hold")


@given(data=st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray((FOLDER / FRAMES).read_bytes())
    for _ in range(data.draw(st.integers(1, 30))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "x.h5"
    path.write_bytes(content[: data.draw(st.integers(8, len(content)))])
    try:
        read_network(path)
    except ModelFolderError as error:
        assert str(path) in str(error)  # noqa: PT017 some are read


def test_the_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    shutil.copy(FOLDER / FRAMES, tmp_path / "x.h5")
    with pytest.raises(ModelFolderError, match=r"the library h5py .*: pip install 'unroll\[keras\]'"):
        read_network(tmp_path / "x.h5")
