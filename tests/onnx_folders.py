"""Writes small ONNX graphs with declared state, and folders of them. Golden vectors come from torch.nn."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from service.model_folder.safetensors_io import write_tensor_file

#: config.json of the voice activity model of docs/examples/voice-activity.md.
VOICE: dict[str, Any] = {
    "format_version": 1,
    "task": "tensor",
    "architecture": "onnx",
    "inputs": [{"name": "input", "dtype": "float32", "shape": ["batch", 512], "overlap": 64}],
    "constants": {"sr": 16000},
    "outputs": [{"name": "output", "dtype": "float32", "shape": ["batch", 1]}],
    "state": [
        {"input": "state", "output": "stateN", "shape": [2, "batch", 128], "dtype": "float32", "initial": "zeros"}
    ],
}

Value = tuple[str, Sequence[int | str | None]]
FEATURES = 3
HIDDEN = 5


def value(name: str, shape: Sequence[int | str | None], kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def graph(
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    weights: dict[str, Any] | None = None,
    **more: Any,
) -> Any:
    """A model of these nodes; `weights` are constants by name."""
    initializers = [numpy_helper.from_array(np.asarray(array), name) for name, array in (weights or {}).items()]
    made = helper.make_graph(nodes, "graph", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", 17), *more.pop("opsets", [])]
    return helper.make_model(made, opset_imports=opsets, ir_version=8, **more)


def running_sum(batch: int | str = "batch") -> Any:
    """total' = total + x, and twice that as output: sums of integers are exact."""
    nodes = [
        helper.make_node("Add", ["x", "total"], ["next_total"]),
        helper.make_node("Mul", ["next_total", "two"], ["y"]),
    ]
    inputs = [value("x", [batch, 2]), value("total", [batch, 2])]
    outputs = [value("y", [batch, 2]), value("next_total", [batch, 2])]
    return graph(nodes, inputs, outputs, {"two": np.float32(2)})


def running_sum_config(batch: int | str = "batch", **fields: Any) -> dict[str, Any]:
    return {
        "format_version": 1,
        "task": "tensor",
        "architecture": "onnx",
        "inputs": [{"name": "x", "dtype": "float32", "shape": [batch, 2]}],
        "outputs": [{"name": "y", "dtype": "float32", "shape": [batch, 2]}],
        "state": [{"input": "total", "output": "next_total", "shape": [batch, 2], "dtype": "float32"}],
        **fields,
    }


class Stream(nn.Module):
    """What the graph of `stream` computes, in torch.nn."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.rnn = nn.LSTM(FEATURES, HIDDEN, num_layers=2, batch_first=True)
        self.output = nn.Linear(HIDDEN, 1)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        outputs, (h, c) = self.rnn(frames)
        return torch.sigmoid(self.output(outputs)), h, c


def stream(trainer: Stream) -> Any:
    """Two LSTM layers that read a frame (batch, 3), with h and c of shape (2, batch, 5), and answer a probability."""
    weights: dict[str, Any] = {"axis": np.array([0]), "two": np.array([1, 1])}
    state = dict(trainer.named_parameters())
    nodes = [
        helper.make_node("Unsqueeze", ["frame", "axis"], ["x0"]),
        helper.make_node("Split", ["h", "two"], ["h0", "h1"], axis=0),
        helper.make_node("Split", ["c", "two"], ["c0", "c1"], axis=0),
    ]
    for layer in range(2):
        w, r, b = (f"{name}{layer}" for name in "WRB")
        weights[w] = _gates(state[f"rnn.weight_ih_l{layer}"])[None]
        weights[r] = _gates(state[f"rnn.weight_hh_l{layer}"])[None]
        biases = [_gates(state[f"rnn.bias_{kind}_l{layer}"]) for kind in ("ih", "hh")]
        weights[b] = np.concatenate(biases)[None]
        inputs = [f"x{layer}", w, r, b, "", f"h{layer}", f"c{layer}"]
        nodes.append(helper.make_node("LSTM", inputs, ["", f"h{layer}_n", f"c{layer}_n"], hidden_size=HIDDEN))
        nodes.append(helper.make_node("Identity", [f"h{layer}_n"], [f"x{layer + 1}"]))
    weights["V"] = state["output.weight"].detach().numpy().T.copy()
    weights["v"] = state["output.bias"].detach().numpy()
    nodes += [
        helper.make_node("Concat", ["h0_n", "h1_n"], ["h_next"], axis=0),
        helper.make_node("Concat", ["c0_n", "c1_n"], ["c_next"], axis=0),
        helper.make_node("Squeeze", ["x2", "axis"], ["features"]),
        helper.make_node("MatMul", ["features", "V"], ["product"]),
        helper.make_node("Add", ["product", "v"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    shape = [2, "batch", HIDDEN]
    inputs = [value("frame", ["batch", FEATURES]), value("h", shape), value("c", shape)]
    outputs = [value("probability", ["batch", 1]), value("h_next", shape), value("c_next", shape)]
    model = graph(nodes, inputs, outputs, weights)
    onnx.checker.check_model(model)
    return model


def _gates(tensor: Tensor) -> Any:
    """Reorder i, f, g, o of PyTorch to i, o, f, c of ONNX."""
    i, f, g, o = tensor.detach().chunk(4)
    return torch.cat([i, o, f, g]).numpy()


STREAM_CONFIG: dict[str, Any] = {
    "format_version": 1,
    "task": "tensor",
    "architecture": "onnx",
    "inputs": [{"name": "frame", "dtype": "float32", "shape": ["batch", FEATURES]}],
    "outputs": [{"name": "probability", "dtype": "float32", "shape": ["batch", 1]}],
    "state": [
        {"input": name, "output": f"{name}_next", "shape": [2, "batch", HIDDEN], "dtype": "float32", "initial": "zeros"}
        for name in "hc"
    ],
}


def write_onnx(
    models: Path,
    name: str,
    model: Any,
    config: dict[str, Any],
    version: str = "1",
    golden: dict[str, Any] | None = None,
) -> Path:
    """Write a folder of a graph, with golden vectors if there are any."""
    folder = models / name / version
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2), "utf-8")
    (folder / "model.onnx").write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    if golden is not None:
        write_tensor_file(folder / "golden.safetensors", golden)
    return folder


def stream_golden(trainer: Stream, batch: int = 3, steps: int = 7) -> dict[str, Tensor]:
    """Golden vectors of a stream, computed by torch.nn."""
    frames = torch.randn(batch, steps, FEATURES, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        probability, h, c = trainer(frames)
    states = {"state.h": h.transpose(0, 1).contiguous(), "state.c": c.transpose(0, 1).contiguous()}
    return {"inputs.frame": frames, "outputs.probability": probability, **states}


def write_stream(models: Path, name: str = "stream", version: str = "1", seed: int = 0, **fields: Any) -> Stream:
    """Write a folder of `stream`, and return its trainer."""
    trainer = Stream(seed).eval()
    write_onnx(models, name, stream(trainer), {**STREAM_CONFIG, **fields}, version, stream_golden(trainer))
    return trainer


def copy_version(models: Path, name: str, version: str, to: str) -> None:
    shutil.copytree(models / name / version, models / name / to)


PLACES = ["rain", "heat", "wind"]
STREAM_TASKS: dict[str, dict[str, Any]] = {
    "regression": {"names": ["speech"], "readout": "each", "target_mean": 10.0, "target_scale": 4.0},
    "classification": {"labels": ["quiet", "speech"], "readout": "last", "probabilities": True},
    "tagging": {"labels": ["quiet", "speech"], "readout": "each", "probabilities": True},
}


def stream_task_config(task: str, **fields: Any) -> dict[str, Any]:
    """config.json of `stream` as the network of a task over rows of three numbers."""
    return {**STREAM_CONFIG, "task": task, "features": PLACES, **STREAM_TASKS[task], **fields}


def write_stream_task(models: Path, name: str, task: str, version: str = "1", seed: int = 0, **fields: Any) -> Stream:
    """Write a folder of `stream` as the network of a task, and return its trainer."""
    trainer, config = Stream(seed).eval(), stream_task_config(task, **fields)
    with torch.no_grad():
        values = 5 + 3 * torch.randn(3, 7, FEATURES, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        probabilities, h, _ = trainer(scaled(values))
    output = "probabilities" if config.get("probabilities") else "values"
    golden = {"inputs.values": values, "state.h": h.transpose(0, 1).contiguous()}
    golden |= {f"outputs.{output}": probabilities if config["readout"] == "each" else probabilities[:, -1]}
    folder = write_onnx(models, name, stream(trainer), config, version, golden)
    scaling = {"format_version": 1, "features": PLACES, "mean": [5.0] * 3, "scale": [2.0, 3.0, 4.0]}
    (folder / "preprocessor.json").write_text(json.dumps({**scaling, "clamp": None, "missing": "last"}), "utf-8")
    return trainer


def scaled(values: Tensor) -> Tensor:
    return ((values - 5) / torch.tensor([2.0, 3.0, 4.0], dtype=torch.float64)).float()


class Moods:
    """What the graph of `moods` computes, in numpy: sum' = tanh(sum / 2 + table[id]), logits = sum' weights."""

    def __init__(self, words: int, labels: int, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.table = random.normal(size=(words, 4)).astype(np.float32)
        self.weights = random.normal(size=(4, labels)).astype(np.float32)

    def logits(self, ids: Sequence[int]) -> Any:
        state, logits = np.zeros(4, np.float32), []
        for index in ids:
            state = np.tanh(state / 2 + self.table[index])
            logits.append(state @ self.weights)
        return np.array(logits)


def moods(trainer: Moods, batch: int | str = "batch") -> Any:
    nodes = [
        helper.make_node("Gather", ["table", "token"], ["row"]),
        helper.make_node("Mul", ["sum", "half"], ["before"]),
        helper.make_node("Add", ["before", "row"], ["added"]),
        helper.make_node("Tanh", ["added"], ["next_sum"]),
        helper.make_node("MatMul", ["next_sum", "weights"], ["logits"]),
    ]
    inputs = [value("token", [batch], TensorProto.INT64), value("sum", [batch, 4])]
    outputs = [value("logits", [batch, trainer.weights.shape[1]]), value("next_sum", [batch, 4])]
    weights = {"table": trainer.table, "weights": trainer.weights, "half": np.float32(0.5)}
    return graph(nodes, inputs, outputs, weights)


def moods_config(words: Sequence[str], labels: Sequence[str], batch: int | str = "batch", **fields: Any) -> Any:
    return {
        "format_version": 1,
        "task": "classification",
        "architecture": "onnx",
        "vocab_size": len(words),
        "special_tokens": {"unknown": "<unk>"},
        "labels": [*labels],
        "readout": "last",
        "inputs": [{"name": "token", "dtype": "int64", "shape": [batch]}],
        "outputs": [{"name": "logits", "dtype": "float32", "shape": [batch, len(labels)]}],
        "state": [{"input": "sum", "output": "next_sum", "shape": [batch, 4]}],
        **fields,
    }
