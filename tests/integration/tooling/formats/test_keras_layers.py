"""Keras models of every kind of layer: packed as proposed, they compute what the layers compute in numpy."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.domain.errors import ModelFolderError
from service.tasks.architectures import ARCHITECTURES, load_task
from service.tasks.limits import TextLimits
from service.tooling.formats.registry import read_network
from service.tooling.inspect.report import Report, inspect, inspect_network
from service.tooling.pack.packer import pack
from tests.integration.tooling.formats.keras_networks import answer, inputs_of, packed, proposed
from tests.keras_files import Layer, compute, make, model_json, named, write_h5, write_keras

M = make(3)
ALL: dict[str, Any] = {"return_sequences": True}
#: Models by what they show, with the shape of their input.
MODELS: dict[str, tuple[list[Layer], tuple[int | None, ...]]] = {
    "both directions side by side": ([M.both("LSTM", 3, 4), M.dense(8, 2)], (9, 3)),
    "both directions added": ([M.both("GRU", 3, 4, "sum"), M.dense(4, 2)], (9, 3)),
    "their mean, in front of another layer": (
        [M.both("LSTM", 3, 4, "ave", **ALL), M.both("GRU", 4, 5, "sum", **ALL), M.dense(5, 2)],
        (None, 3),
    ),
    "GRUs of both resets": (
        [M.recurrent("GRU", 3, 4, **ALL), M.recurrent("GRU", 4, 4, reset_after=False), M.dense(4, 2)],
        (None, 3),
    ),
    "no biases": (
        [
            M.recurrent("GRU", 3, 4, use_bias=False, **ALL),
            M.recurrent("LSTM", 4, 4, use_bias=False),
            M.dense(4, 2, use_bias=False),
        ],
        (None, 3),
    ),
    "other activations": (
        [
            M.recurrent("SimpleRNN", 3, 4, activation="relu", **ALL),
            M.recurrent("LSTM", 4, 4, activation="softsign", recurrent_activation="hard_sigmoid", **ALL),
            Layer("LeakyReLU", {"negative_slope": 0.2}),
            Layer("ReLU", {"max_value": 6.0}),
            M.recurrent("GRU", 4, 3, activation="silu"),
            M.dense(3, 4, "leaky_relu"),
            M.dense(4, 4, "elu"),
            M.dense(4, 2, "softplus"),
        ],
        (None, 3),
    ),
    "layers in front and between": (
        [
            Layer("TimeDistributed", inner=M.dense(3, 5, "relu")),
            M.recurrent("LSTM", 5, 4, **ALL),
            M.layer_norm(4),
            Layer("TimeDistributed", inner=M.dense(4, 6)),
            Layer("Activation", {"activation": "tanh"}),
            M.recurrent("LSTM", 6, 3),
            M.batch_norm(3),
            M.dense(3, 1),
        ],
        (None, 3),
    ),
    "normalisations without scale or centre": (
        [
            M.batch_norm(3, scale=False),
            M.recurrent("GRU", 3, 4),
            M.batch_norm(4, center=False),
            M.dense(4, 3),
            Layer("Softmax", {"axis": -1}),
        ],
        (None, 3),
    ),
    "the mean of all outputs": (
        [M.recurrent("GRU", 3, 4, **ALL), Layer("GlobalAveragePooling1D"), M.dense(4, 3, "softmax")],
        (7, 3),
    ),
    "the maximum of all outputs": (
        [M.both("LSTM", 3, 4, **ALL), Layer("GlobalMaxPooling1D"), M.dense(8, 3, "softmax")],
        (7, 3),
    ),
    "a convolution": ([M.conv(3, 5, 3, activation="relu"), M.recurrent("LSTM", 5, 4), M.dense(4, 1)], (12, 3)),
    "convolutions with zeros on both sides": (
        [
            M.conv(3, 5, 3, padding="same", activation="relu"),
            M.conv(5, 4, 4, padding="same", dilation_rate=[2]),
            M.recurrent("GRU", 4, 4),
            M.dense(4, 1),
        ],
        (12, 3),
    ),
    "causal convolutions behind scaled inputs": (
        [
            Layer("Rescaling", {"scale": 0.5, "offset": 0.1}),
            M.conv(3, 5, 3, padding="causal", dilation_rate=[2]),
            M.batch_norm(5),
            Layer("Activation", {"activation": "relu"}),
            M.conv(5, 4, 2, padding="causal", activation="tanh"),
            M.batch_norm(4),
            M.recurrent("GRU", 4, 4),
            M.dense(4, 1),
        ],
        (None, 3),
    ),
    "normalised inputs": (
        [
            Layer(
                "Normalization",
                {"axis": [-1], "mean": None, "variance": None, "invert": False},
                (np.float32([1, 2, 3]), np.float32([4, 5, 6]), np.array(100)),
            ),
            M.recurrent("LSTM", 3, 4),
            M.dense(4, 1),
        ],
        (6, 3),
    ),
    "Flatten of one timestep": ([M.recurrent("LSTM", 3, 4, **ALL), Layer("Flatten"), M.dense(4, 1)], (1, 3)),
    "an output without a Dense layer": ([M.recurrent("LSTM", 3, 4), M.dense(4, 2, "tanh")], (None, 3)),
    "outputs of a recurrent layer alone": ([M.recurrent("LSTM", 3, 4)], (None, 3)),
    "a Masking layer": (
        [
            Layer("Masking", {"mask_value": -1.0}),
            M.recurrent("LSTM", 3, 4),
            Layer("Dropout", {"rate": 0.5}),
            M.dense(4, 1),
        ],
        (8, 3),
    ),
    "tags of masked tokens": (
        [
            M.embedding(20, 4, mask_zero=True),
            M.both("LSTM", 4, 3, **ALL),
            Layer("TimeDistributed", inner=M.dense(6, 4, "softmax")),
        ],
        (None,),
    ),
    "backwards": ([M.recurrent("LSTM", 3, 4, go_backwards=True), M.layer_norm(4), M.dense(4, 2)], (9, 3)),
    "backwards, and forwards in that order": (
        [M.recurrent("LSTM", 3, 4, go_backwards=True, **ALL), M.recurrent("GRU", 4, 5), M.dense(5, 2)],
        (None, 3),
    ),
    "backwards twice": (
        [
            M.recurrent("LSTM", 3, 4, go_backwards=True, **ALL),
            M.recurrent("LSTM", 4, 5, go_backwards=True, **ALL),
            M.dense(5, 2),
        ],
        (None, 3),
    ),
    "the mean of all outputs backwards": (
        [M.recurrent("GRU", 3, 4, go_backwards=True, **ALL), Layer("GlobalAveragePooling1D"), M.dense(4, 2)],
        (7, 3),
    ),
    "models within the model": (
        [
            Layer("Sequential", layers=(M.dense(3, 4, "tanh"), M.recurrent("LSTM", 4, 5, **ALL)), name="encoder"),
            M.recurrent("LSTM", 5, 4),
            Layer("Sequential", layers=(M.batch_norm(4), M.dense(4, 6, "relu"), M.dense(6, 3)), name="head"),
            M.dense(3, 2),
        ],
        (7, 3),
    ),
    "a model that is applied to each timestep": (
        [
            Layer("TimeDistributed", inner=Layer("Sequential", layers=(M.dense(3, 4, "relu"), M.dense(4, 3)))),
            M.recurrent("GRU", 3, 4),
            M.dense(4, 2),
        ],
        (7, 3),
    ),
    "several labels at once": ([M.recurrent("LSTM", 3, 4), M.dense(4, 3, "sigmoid")], (None, 3)),
}


#: Models that are also written as an HDF5 file, where weights are found by other names.
IN_HDF5 = [
    "models within the model",
    "backwards",
    "their mean, in front of another layer",
    "layers in front and between",
    "normalised inputs",
]
FILES = [*((name, write_keras) for name in MODELS), *((name, write_h5) for name in IN_HDF5)]


@pytest.mark.parametrize(("name", "write"), FILES)
def test_a_model_computes_what_its_layers_do(tmp_path: Path, name: str, write: Callable[..., Path]) -> None:
    layers, shape = MODELS[name]
    network = packed(write(tmp_path / "model.file", layers, shape), tmp_path)
    inputs = inputs_of(shape)
    expected = compute(layers, inputs)
    assert np.allclose(answer(network, inputs).reshape(expected.shape), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_layers_of_cudnn_are_those_of_today(tmp_path: Path, kind: str) -> None:
    layers = [M.recurrent(kind, 3, 4), M.dense(4, 2)]
    plain = layers[0]
    gates = {"LSTM": 4, "GRU": 3}[kind]
    kernel, recurrent, bias = plain.weights
    weights = (
        np.hstack([part.T.reshape(part.shape) for part in np.hsplit(kernel, gates)]),
        np.hstack([part.T for part in np.hsplit(recurrent, gates)]),
        bias.reshape(-1) if kind == "GRU" else np.tile(bias / 2, 2),
    )
    old = Layer(f"CuDNN{kind}", {"units": 4, "return_sequences": False}, weights)
    path = write_h5(tmp_path / "x.h5", [old, layers[1]], (9, 3), version="2.2.4-tf")
    inputs = inputs_of((9, 3))
    assert np.allclose(answer(packed(path, tmp_path), inputs), compute(layers, inputs), atol=1e-5)


def test_an_rnn_of_one_cell_is_the_layer_of_the_cell(tmp_path: Path) -> None:
    layers = [M.recurrent("LSTM", 3, 4), M.dense(4, 2)]
    model = model_json(named(layers), (9, 3))
    entry = model["config"]["layers"][1]
    cell = {"class_name": "LSTMCell", "config": entry["config"]}
    entry |= {"class_name": "RNN", "config": {"name": "rnn", "return_sequences": False, "cell": cell}}
    rnn = _Rnn(layers[0].kind, layers[0].options, layers[0].weights)
    path = write_keras(tmp_path / "x.keras", [rnn, layers[1]], (9, 3), model=model)
    inputs = inputs_of((9, 3))
    assert np.allclose(answer(packed(path, tmp_path), inputs), compute(layers, inputs), atol=1e-5)


class _Rnn(Layer):
    """A layer whose weights have the place of those of an RNN."""

    def variables(self, path: str) -> Any:
        yield from super().variables(path.replace("lstm", "rnn"))


def test_a_norm_of_vectors_names_their_only_axis(tmp_path: Path) -> None:
    norm = M.batch_norm(4)
    norm = Layer(norm.kind, {**norm.options, "axis": [1]}, norm.weights)
    layers = [M.recurrent("LSTM", 3, 4), norm, M.dense(4, 2)]
    inputs = inputs_of((9, 3))
    network = packed(write_h5(tmp_path / "x.h5", layers, (9, 3)), tmp_path)
    assert np.allclose(answer(network, inputs), compute(layers, inputs), atol=1e-5)


def test_the_hard_sigmoid_of_keras_2_is_another(tmp_path: Path) -> None:
    layers = [M.recurrent("LSTM", 3, 4, recurrent_activation="hard_sigmoid"), M.dense(4, 1)]
    for write, expected in ((write_keras, "hard_sigmoid"), (write_h5, "hard_sigmoid_legacy")):
        assert proposed(write(tmp_path / "x.file", layers, (None, 3)))["cell_options"]["gate_activation"] == expected


WINDOWS: dict[str, tuple[list[Layer], tuple[int | None, ...], int | None]] = {
    "a length": ([M.recurrent("LSTM", 1, 4), M.dense(4, 1)], (24, 1), 24),
    "one timestep": ([M.recurrent("LSTM", 3, 4), M.dense(4, 1)], (1, 3), 1),
    "any length": ([M.recurrent("LSTM", 1, 4), M.dense(4, 1)], (None, 1), None),
    "a length, and layers that keep their state": (
        [M.recurrent("LSTM", 1, 4, stateful=True), M.dense(4, 1)],
        (24, 1),
        None,
    ),
    "both directions, an answer for each timestep": ([M.both("LSTM", 1, 4, **ALL), M.dense(8, 1)], (24, 1), None),
    "backwards": ([M.recurrent("LSTM", 1, 4, go_backwards=True), M.dense(4, 1)], (24, 1), 24),
    "both directions, one answer": ([M.both("LSTM", 1, 4), M.dense(8, 1)], (24, 1), 24),
    "masked tokens": (
        [M.embedding(20, 4, mask_zero=True), M.recurrent("GRU", 4, 4), M.dense(4, 3, "softmax")],
        (30,),
        30,
    ),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_a_fixed_length_is_a_window(tmp_path: Path, name: str) -> None:
    layers, shape, window = WINDOWS[name]
    assert proposed(write_keras(tmp_path / "x.keras", layers, shape)).get("window") == window


def test_padding_of_texts_without_a_mask_is_asked_for(tmp_path: Path) -> None:
    layers = [M.embedding(20, 4), M.recurrent("LSTM", 4, 4), M.dense(4, 3, "softmax")]
    path = write_keras(tmp_path / "x.keras", layers, (30,))
    report = inspect(path)
    assert isinstance(report, Report)
    assert report.proposal is not None
    assert {*report.proposal.guessed} == {"labels", "padding"}
    padding = {"side": "left", "token": "w0", "length": 30}
    network = packed(path, tmp_path, padding=padding)
    assert network.config.padding.length == 30


def test_a_network_over_its_vocabulary_predicts_next_words(tmp_path: Path) -> None:
    for last in (M.dense(4, 20, "softmax"), M.dense(4, 20)):
        config = proposed(
            write_keras(tmp_path / "x.keras", [M.embedding(20, 4), M.recurrent("LSTM", 4, 4), last], (7,))
        )
        assert (config["task"], config["window"]) == ("next-word", 7)


def test_characters_as_unit_vectors_are_recognised_and_asked_for(tmp_path: Path) -> None:
    path = write_keras(tmp_path / "x.keras", [M.recurrent("LSTM", 20, 4), M.dense(4, 20, "softmax")], (7, 20))
    report = inspect(path)
    assert isinstance(report, Report)
    assert report.proposal is not None
    assert (report.proposal.config["one_hot"], report.proposal.guessed) == (True, ("task",))
    with pytest.raises(ModelFolderError, match="labels"):
        pack(path, tmp_path, "x", "1", settings={"task": "classification"}, preprocessor="identity")


@pytest.mark.parametrize(
    ("recurrent", "outputs", "readout"),
    [(M.recurrent("LSTM", 1, 4), 4, None), (M.both("LSTM", 1, 4), 8, "last")],
    ids=["one direction", "both, whose ends are read"],
)
def test_numbers_can_be_stated_to_be_forecasts(
    tmp_path: Path, recurrent: Layer, outputs: int, readout: str | None
) -> None:
    path = write_keras(tmp_path / "x.keras", [recurrent, M.dense(outputs, 6)], (24, 1))
    stated = {"task": "forecasting", "features": ["load"], "target": ["load"], "horizon": 6}
    target = pack(path, tmp_path, "x", "1", settings=stated, preprocessor="identity")
    config = load_task(target.path, TextLimits(input_tokens=10))[0].config
    assert (config.task, config.horizon, config.window) == ("forecasting", 6, 24)
    assert config.readout == readout


def functional(layers: Sequence[Layer], shape: Sequence[int | None]) -> dict[str, Any]:
    """Return the JSON of a functional model whose layers follow each other."""
    model = model_json(named(layers), shape)
    entries = model["config"]["layers"]
    for entry in entries:
        entry["name"] = entry["config"]["name"]
        entry["inbound_nodes"] = []
    for before, entry in pairwise(entries):
        entry["inbound_nodes"] = [{"args": [tensor(before["name"])], "kwargs": {"mask": None}}]
    ends = {"input_layers": [entries[0]["name"], 0, 0], "output_layers": [entries[-1]["name"], 0, 0]}
    return {"class_name": "Functional", "config": {**model["config"], **ends}}


def tensor(layer: str, output: int = 0) -> dict[str, Any]:
    """Return an output of a layer as an argument of another."""
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [layer, 0, output]}}


CHAIN = [M.recurrent("LSTM", 3, 4, return_state=True, **ALL), M.recurrent("GRU", 4, 4, **ALL), M.dense(4, 2)]


def test_a_functional_model_is_a_chain(tmp_path: Path) -> None:
    path = write_keras(tmp_path / "x.keras", CHAIN, (9, 3), model=functional(CHAIN, (9, 3)))
    inputs = inputs_of((9, 3))
    assert np.allclose(answer(packed(path, tmp_path), inputs), compute(CHAIN, inputs), atol=1e-5)


def test_the_state_that_a_layer_returns_is_its_last_output(tmp_path: Path) -> None:
    layers = [M.recurrent("LSTM", 3, 4, return_state=True, **ALL), M.dense(4, 2)]
    model = functional(layers, (9, 3))
    model["config"]["layers"][-1]["inbound_nodes"][0]["args"] = [tensor("lstm", 1)]
    path = write_keras(tmp_path / "x.keras", layers, (9, 3), model=model)
    inputs = inputs_of((9, 3))
    assert np.allclose(answer(packed(path, tmp_path), inputs), compute(layers, inputs)[-1:], atol=1e-5)


def branch(node: dict[str, Any]) -> None:
    node["args"].append(tensor("input_layer"))


def keyword(node: dict[str, Any]) -> None:
    node["kwargs"]["initial_state"] = [tensor("lstm", 1), tensor("lstm", 2)]


def cell_state(node: dict[str, Any]) -> None:
    node["args"] = [tensor("lstm", 2)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (branch, r"layer 'gru' reads 2 others, expected a chain"),
        (keyword, r"the Keras layer 'gru' that begins with the state of 'lstm'"),
        (cell_state, r"output 2 of the Keras layer 'lstm' in use"),
    ],
)
def test_what_is_no_chain_is_refused_with_a_way_out(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    model = functional(CHAIN, (9, 3))
    change(model["config"]["layers"][2]["inbound_nodes"][0])
    path = write_keras(tmp_path / "x.keras", CHAIN, (9, 3), model=model)
    with pytest.raises(ModelFolderError, match=message) as caught:
        read_network(path)
    assert 'model.export("model.onnx", format="onnx")' in str(caught.value)


def test_a_layer_that_is_used_twice_is_refused(tmp_path: Path) -> None:
    model = functional(CHAIN, (9, 3))
    nodes = model["config"]["layers"][2]["inbound_nodes"]
    nodes.append(nodes[0])
    with pytest.raises(ModelFolderError, match="'gru' used 2 times"):
        read_network(write_keras(tmp_path / "x.keras", CHAIN, (9, 3), model=model))


REFUSED: dict[str, tuple[list[Layer], tuple[int | None, ...], str]] = {
    "product": ([M.both("LSTM", 3, 4, "mul"), M.dense(4, 1)], (9, 3), "merge_mode of bidirectional is 'mul'"),
    "backwards, an answer for each timestep": (
        [M.recurrent("LSTM", 3, 4, go_backwards=True, **ALL), M.dense(4, 1)],
        (9, 3),
        "lstm returns the outputs of all timesteps in reverse order, which is not served",
    ),
    "backwards in both directions": (
        [M.both("LSTM", 3, 4, go_backwards=True), M.dense(8, 1)],
        (9, 3),
        "go_backwards of bidirectional is True, which is not served",
    ),
    "flatten": (
        [M.recurrent("LSTM", 3, 4, **ALL), Layer("Flatten"), M.dense(36, 1)],
        (9, 3),
        r"the layer Flatten \(flatten\) puts 9 timesteps side by side",
    ),
    "maximum of merged": (
        [M.both("LSTM", 3, 4, "sum", **ALL), Layer("GlobalMaxPooling1D"), M.dense(4, 1)],
        (9, 3),
        r"the maximum of merged directions \(bidirectional\)",
    ),
    "no layer": ([M.dense(3, 1)], (9, 3), "it has no recurrent layers"),
    "softmax within": (
        [M.recurrent("LSTM", 3, 4), M.dense(4, 4, "softmax"), M.dense(4, 1)],
        (9, 3),
        "the softmax of dense is not served in front of other layers",
    ),
    "unknown activation": ([M.recurrent("LSTM", 3, 4, activation="celu"), M.dense(4, 1)], (9, 3), "'celu' of lstm"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_served_is_named_with_a_way_out(tmp_path: Path, name: str) -> None:
    layers, shape, message = REFUSED[name]
    with pytest.raises(ModelFolderError, match=message) as caught:
        pack(write_keras(tmp_path / "x.keras", layers, shape), tmp_path, "x", "1", preprocessor="identity")
    assert "\n" not in str(caught.value)
    assert 'model.export("model.onnx", format="onnx")' in str(caught.value)


@pytest.mark.parametrize("kind", ["Lambda", "RepeatVector", "ConvLSTM2D", "MultiHeadAttention", "MyLayer"])
def test_a_layer_that_is_not_read_is_named_with_a_way_out(tmp_path: Path, kind: str) -> None:
    layers = [M.recurrent("LSTM", 3, 4), Layer(kind), M.dense(4, 1)]
    with pytest.raises(ModelFolderError, match=f"the Keras layer '{kind}'") as caught:
        read_network(write_keras(tmp_path / "x.keras", layers, (9, 3)))
    assert 'model.export("model.onnx", format="onnx")' in str(caught.value)


def test_random_numbers_of_dropout_are_no_weights(tmp_path: Path) -> None:
    layer = M.recurrent("LSTM", 3, 4)
    noisy = _WithSeed(layer.kind, layer.options, layer.weights)
    layers = [noisy, M.dense(4, 1)]
    inputs = inputs_of((9, 3))
    network = packed(write_keras(tmp_path / "x.keras", layers, (9, 3)), tmp_path)
    assert np.allclose(answer(network, inputs), compute(layers, inputs), atol=1e-5)


class _WithSeed(Layer):
    """A layer whose dropout keeps the state of a generator in the file."""

    def variables(self, path: str) -> Any:
        yield from super().variables(path)
        yield f"{path}/cell/seed_generator/vars/0", np.array([1, 2], np.uint32)


def test_weights_of_half_precision_are_read(tmp_path: Path) -> None:
    layers = [M.recurrent("LSTM", 3, 4), M.dense(4, 1)]
    half = [Layer(each.kind, each.options, tuple(item.astype(np.float16) for item in each.weights)) for each in layers]
    inputs = inputs_of((9, 3))
    network = packed(write_keras(tmp_path / "x.keras", half, (9, 3)), tmp_path)
    assert np.allclose(answer(network, inputs), compute(half, inputs), atol=1e-5)


def test_masked_rows_are_told_to_be_left_out(tmp_path: Path) -> None:
    layers, shape = MODELS["a Masking layer"]
    report = inspect(write_keras(tmp_path / "x.keras", layers, shape))
    assert isinstance(report, Report)
    assert any("numbers are all -1.0 were skipped" in line for line in report.unknown)


def test_a_proposal_changes_nothing_of_the_file(tmp_path: Path) -> None:
    layers, shape = MODELS["causal convolutions behind scaled inputs"]
    path = write_keras(tmp_path / "x.keras", layers, shape)
    saved = read_network(path)
    first, second = (inspect_network(path, saved, ARCHITECTURES).proposal for _ in range(2))
    assert first is not None
    assert first == second
