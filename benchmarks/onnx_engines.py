"""REF-LM in ONNX Runtime, one thread: float32, and int8 with dynamic scales."""

import importlib.util
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.ref_lm import HIDDEN, LAYERS

MODULES = ("onnx", "onnxruntime")


def onnx_engines(tensors: dict[str, Tensor]) -> Iterator[tuple[str, Callable[[Tensor], Callable[[], object]]]]:
    """Yield both engines by name. Without ONNX Runtime print a line that says so, and yield none."""
    if missing := [name for name in MODULES if importlib.util.find_spec(name) is None]:
        print(f"Without ONNX Runtime: {', '.join(missing)} not installed, see the extra `bench` in pyproject.toml.\n")
        return
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        plain, quantized = Path(folder) / "plain.onnx", Path(folder) / "int8.onnx"
        onnx.save(graph(tensors), plain)
        quantize_dynamic(plain, quantized, weight_type=QuantType.QInt8)
        yield "ONNX Runtime float32", engine(plain)
        yield "ONNX Runtime int8 dynamic", engine(quantized)


def graph(tensors: dict[str, Tensor]) -> Any:  # noqa: ANN401 - onnx is optional
    """Return the network as an ONNX model: ids (B,), h_l{k} and c_l{k} (1, B, H) -> logits (B, V), new states."""
    from onnx import TensorProto, checker, helper, numpy_helper

    constants: dict[str, Tensor] = {
        "embedding": tensors["embedding.weight"],
        "output": tensors["output.weight"].T.contiguous(),
        "output_bias": tensors["output.bias"],
    }
    state = [f"{kind}_l{layer}" for layer in range(LAYERS) for kind in "hc"]
    axis = numpy_helper.from_array(np.array([0]), "axis")
    nodes = [
        helper.make_node("Gather", ["embedding", "ids"], ["x"]),
        helper.make_node("Unsqueeze", ["x", "axis"], ["x_l0"]),
    ]
    for layer in range(LAYERS):
        w, r, b = (f"{name}_l{layer}" for name in "WRB")
        get = lambda name, at=layer: tensors[f"rnn.{name}_l{at}"]  # noqa: E731
        constants |= {w: _gates(get("weight_ih"))[None], r: _gates(get("weight_hh"))[None]}
        constants[b] = torch.cat([_gates(get("bias_ih")), _gates(get("bias_hh"))])[None]
        inputs = [f"x_l{layer}", w, r, b, "", f"h_l{layer}", f"c_l{layer}"]
        outputs = ["", f"new_h_l{layer}", f"new_c_l{layer}"]
        nodes.append(helper.make_node("LSTM", inputs, outputs, hidden_size=HIDDEN))
        # With one timestep the last h (1, B, H) is the layer's output.
        nodes.append(helper.make_node("Identity", [f"new_h_l{layer}"], [f"x_l{layer + 1}"]))
    nodes += [
        helper.make_node("Squeeze", [f"x_l{LAYERS}", "axis"], ["features"]),
        helper.make_node("MatMul", ["features", "output"], ["products"]),
        helper.make_node("Add", ["products", "output_bias"], ["logits"]),
    ]

    def value(name: str) -> Any:  # noqa: ANN401
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, "B", HIDDEN])

    model = helper.make_model(
        helper.make_graph(
            nodes,
            "ref-lm",
            [helper.make_tensor_value_info("ids", TensorProto.INT64, ["B"]), *map(value, state)],
            [
                helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", None]),
                *(value(f"new_{name}") for name in state),
            ],
            [axis, *(numpy_helper.from_array(one.numpy(), name) for name, one in constants.items())],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    checker.check_model(model)
    return model


def engine(path: Path) -> Callable[[Tensor], Callable[[], object]]:
    """Return the engine of a model file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    states = [one.name for one in session.get_inputs() if one.name != "ids"]

    def prepare(ids: Tensor) -> Callable[[], object]:
        given = {"ids": ids.numpy(), **{name: np.zeros((1, len(ids), HIDDEN), np.float32) for name in states}}
        return lambda: session.run(None, given)

    return prepare


def _gates(tensor: Tensor) -> Tensor:
    """Reorder i, f, g, o, as PyTorch has them, to i, o, f, c of ONNX."""
    i, f, g, o = tensor.chunk(4)
    return torch.cat([i, o, f, g])
