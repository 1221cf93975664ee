"""Steps of 64 sessions of an ONNX graph, against ONNX Runtime's own session on the same batch.

    python -m benchmarks.tensor_steps [--quick] [--json FILE]

The graph has two LSTM layers of 512 that read 64 numbers a step and answer 4. The task reads the inputs of 64 requests,
runs the graph on the states that it decodes from the bytes of sessions, and encodes the next ones. HTTP and the store
are left out. Both take turns on one thread, and processor time is measured.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from service.domain.operations import Predict, TensorInput
from service.domain.tensors import make_tensor
from service.engine.runner import run_to_completion
from service.tasks.architectures import load_task
from service.tasks.limits import TextLimits

BATCH, WIDTH, HIDDEN, ANSWERS = 64, 64, 512, 4
CONFIG = {
    "format_version": 1,
    "task": "tensor",
    "architecture": "onnx",
    "inputs": [{"name": "frame", "dtype": "float32", "shape": ["batch", WIDTH]}],
    "outputs": [{"name": "answer", "dtype": "float32", "shape": ["batch", ANSWERS]}],
    "state": [
        {"input": name, "output": f"{name}_next", "shape": [1, "batch", HIDDEN], "dtype": "float32"}
        for name in ("h0", "c0", "h1", "c1")
    ],
}


def write_graph(path: Path) -> None:
    """Write a network of random weights."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    weights: dict[str, Any] = {"axis": np.array([0])}

    def draw(name: str, *shape: int) -> str:
        weights[name] = (0.04 * random.standard_normal(shape)).astype(np.float32)
        return name

    def value(name: str, *shape: int | str) -> Any:  # noqa: ANN401 - onnx is optional
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    nodes = [helper.make_node("Unsqueeze", ["frame", "axis"], ["x0"])]
    for layer, width in enumerate((WIDTH, HIDDEN)):
        inputs = [f"x{layer}", draw(f"w{layer}", 1, 4 * HIDDEN, width), draw(f"r{layer}", 1, 4 * HIDDEN, HIDDEN)]
        outputs = ["", f"h{layer}_next", f"c{layer}_next"]
        states = [f"h{layer}", f"c{layer}"]
        nodes.append(helper.make_node("LSTM", [*inputs, "", "", *states], outputs, hidden_size=HIDDEN))
        nodes.append(helper.make_node("Identity", [f"h{layer}_next"], [f"x{layer + 1}"]))
    nodes.append(helper.make_node("Squeeze", ["x2", "axis"], ["features"]))
    nodes.append(helper.make_node("MatMul", ["features", draw("v", HIDDEN, ANSWERS)], ["answer"]))
    names = [f"{kind}{layer}" for layer in range(2) for kind in "hc"]
    graph = helper.make_graph(
        nodes,
        "stream",
        [value("frame", "batch", WIDTH), *(value(name, 1, "batch", HIDDEN) for name in names)],
        [value("answer", "batch", ANSWERS), *(value(f"{name}_next", 1, "batch", HIDDEN) for name in names)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def service_step(folder: Path) -> Callable[[], None]:
    """Return a function that advances 64 sessions by one step each."""
    task = load_task(folder, TextLimits())[1]
    frames = np.random.default_rng(1).standard_normal((BATCH, WIDTH)).tolist()
    predictions = [Predict(TensorInput((make_tensor("frame", "FP64", (WIDTH,), frame),))) for frame in frames]
    states = [task.state_codec.to_bytes(task.initial_state)] * BATCH

    def step() -> None:
        started = [
            task.start(prediction, task.state_codec.from_bytes(state))
            for prediction, state in zip(predictions, states, strict=True)
        ]
        states[:] = [outcome.state for outcome in run_to_completion(task, started)]

    return step


def bare_step(path: Path) -> Callable[[], None]:
    """Return a function that runs ONNX Runtime's own session on a batch of 64, and keeps the states as they come."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [entry["output"] for entry in CONFIG["state"]]  # type: ignore[attr-defined,index]
    feeds = {name.removesuffix("_next"): np.zeros((1, BATCH, HIDDEN), np.float32) for name in names}
    feeds["frame"] = np.random.default_rng(1).standard_normal((BATCH, WIDTH)).astype(np.float32)

    def step() -> None:
        _, *states = session.run(["answer", *names], feeds)
        feeds.update({name.removesuffix("_next"): state for name, state in zip(names, states, strict=True)})

    return step


def measure(rounds: int, steps: int) -> dict[str, float]:
    """Return the medians of the rates by processor time, and their ratio."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "stream" / "1"
        folder.mkdir(parents=True)
        write_graph(folder / "model.onnx")
        (folder / "config.json").write_text(json.dumps(CONFIG), "utf-8")
        steppers = service_step(folder), bare_step(folder / "model.onnx")
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for step, own in zip(steppers, rates, strict=True):
            started = time.process_time()
            for _ in range(steps):
                step()
            own.append(BATCH * steps / (time.process_time() - started))
    service, loop = map(statistics.median, rates)
    return {"steps_per_second": service, "loop_steps_per_second": loop, "of_loop": service / loop}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    arguments = parser.parse_args()
    figures = json.dumps(measure(*((5, 10) if arguments.quick else (15, 40))), indent=1)
    print(figures)
    if arguments.json is not None:
        arguments.json.write_text(figures + "\n", "utf-8")


if __name__ == "__main__":
    main()
