"""A graph with declared state whose every number is an exact integer, and the same arithmetic in plain Python.

The state is a checksum of all that was fed, in its order: s' = (3 s + x) mod 61. The output is the state.
"""

from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper

from tests.chaos.compare import Output
from tests.chaos.contents import Content, Numbers
from tests.chaos.replay import Standing
from tests.onnx_folders import graph, value, write_onnx

_MODULUS, _FACTOR = 61, 3
_SHAPE: list[int | str | None] = ["batch", 1]
_CONFIG: dict[str, Any] = {
    "format_version": 1,
    "task": "tensor",
    "architecture": "onnx",
    "inputs": [{"name": "x", "dtype": "float32", "shape": _SHAPE}],
    "outputs": [{"name": "y", "dtype": "float32", "shape": _SHAPE}],
    "state": [{"input": "sum", "output": "next", "shape": _SHAPE, "dtype": "float32"}],
}


class Checksum:
    """The arithmetic of the graph: equal or wrong."""

    def start(self, opening: Output | None) -> Standing:
        return Standing(0, 0, {})

    def after(self, standing: Standing, content: Content) -> Standing:
        assert isinstance(content, Numbers), f"{content} is nothing for a checksum"
        state, passed = standing.state, list[int]()
        for number in content.values:
            state = (_FACTOR * state + number) % _MODULUS
            passed.append(state)
        return Standing(state, standing.timesteps + len(passed), {"tensors": {"y": [[one] for one in passed]}})

    def look(self, standing: Standing, content: Content | None) -> Output:
        return standing.answer if content is None else self.after(standing, content).answer

    def differs(self, expected: Output, found: Output) -> str | None:
        own, other = (output.get("tensors", {}).get("y") for output in (expected, found))
        return None if own == other else f"the answer is {other}, not {own}"


def write_checksum(models: Path, name: str, *, factor: int = _FACTOR) -> None:
    """Write the model folder; with another factor its answers are wrong."""
    nodes = [
        helper.make_node("Mul", ["sum", "factor"], ["product"]),
        helper.make_node("Add", ["product", "x"], ["total"]),
        helper.make_node("Mod", ["total", "modulus"], ["next"], fmod=1),
        helper.make_node("Identity", ["next"], ["y"]),
    ]
    inputs, outputs = ([value(one, _SHAPE) for one in names] for names in (("x", "sum"), ("y", "next")))
    weights = {"factor": np.float32(factor), "modulus": np.float32(_MODULUS)}
    write_onnx(models, name, graph(nodes, inputs, outputs, weights), _CONFIG)
