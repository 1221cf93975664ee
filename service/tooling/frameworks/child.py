"""Computation of a file's outputs by its own framework: this file is the script of a process of its own.

Arguments: the framework, the file, a `.npz` with the inputs, and one for the outputs. The process runs the graph of
the file, so it has limits of time and memory, no environment, and an empty folder. It exits with MISSING if the
framework is not installed.
"""

import contextlib
import importlib
import resource
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
MISSING = 4
#: Processor time, and the address space: frameworks reserve much more than they use.
MAX_SECONDS = 120
MAX_BYTES = 2**35
ZIP = b"PK\x03\x04"


def run_keras(file: Path, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return the outputs of a Keras model; with `logits` among the inputs, those without a last softmax or sigmoid."""
    keras = importlib.import_module("keras")
    # Keras tells the formats apart by name.
    named = Path("model.keras" if file.read_bytes()[:4] == ZIP else "model.h5")
    shutil.copyfile(file, named)
    model = keras.models.load_model(named, compile=False, safe_mode=True)
    if "logits" in inputs:
        last = model.layers[-1]
        getattr(last, "layer", last).activation = keras.activations.linear
    return {"outputs": np.asarray(model.predict(inputs["inputs"], verbose=0))}


def run_torchscript(file: Path, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return the outputs of a TorchScript archive, of several the first."""
    torch = importlib.import_module("torch")
    network = torch.jit.load(str(file), map_location="cpu").eval()
    with torch.no_grad():
        result = network(torch.from_numpy(inputs["inputs"]))
    while isinstance(result, tuple | list):
        result = result[0]
    return {"outputs": result.float().numpy()}


def run_onnx(file: Path, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return the outputs of a graph for each timestep of one sequence.

    `NAME<OUTPUT` are states that are fed back, and `=NAME` are constants.
    """
    runtime = importlib.import_module("onnxruntime")
    session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    pairs, states, constant = _fed_back(inputs)
    series = {name: array for name, array in inputs.items() if "<" not in name and not name.startswith("=")}
    names = [output.name for output in session.get_outputs()]
    steps: list[Arrays] = []
    for step in range(len(next(iter(series.values())))):
        rows = {name: array[step] for name, array in series.items()}
        found = dict(zip(names, session.run(names, {**rows, **states, **constant}), strict=True))
        states = {name: found[output] for name, output in pairs.items()}
        steps.append(found)
    return {name: np.stack([found[name] for found in steps]) for name in names}


def _fed_back(inputs: Mapping[str, NDArray[Any]]) -> tuple[dict[str, str], Arrays, Arrays]:
    """Return the outputs by the names of the states that they become, the first states, and the constants."""
    pairs = dict(name.split("<") for name in inputs if "<" in name)
    states = {name: inputs[f"{name}<{output}"] for name, output in pairs.items()}
    return pairs, states, {name[1:]: array for name, array in inputs.items() if name.startswith("=")}


RUN: dict[str, Callable[[Path, Mapping[str, NDArray[Any]]], Arrays]] = {
    "keras": run_keras,
    "torchscript": run_torchscript,
    "onnxruntime": run_onnx,
}


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def main() -> int:
    """Run the framework, and return the exit status."""
    framework, file, given, target = sys.argv[1:]
    for kind, value in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, MAX_SECONDS), (resource.RLIMIT_AS, MAX_BYTES)):
        _limit(kind, value)
    with np.load(given, allow_pickle=False) as inputs:
        arrays = dict(inputs)
    try:
        outputs: dict[str, Any] = {**RUN[framework](Path(file), arrays)}
        np.savez(target, **outputs)
    except ImportError:
        return MISSING
    return 0


if __name__ == "__main__":
    sys.exit(main())
