"""An ONNX graph as a network: from inputs and states of a batch to outputs and next states."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
from torch import nn

from service.domain.errors import ModelFolderError
from service.nets.config.loader import config_error
from service.nets.onnx_graph import trial
from service.nets.onnx_graph.declared import constants_of, graph_violations, make_plan
from service.nets.onnx_graph.graph_config import GraphConfig, batch_axis
from service.nets.onnx_graph.graph_file import GraphError, read_graph
from service.nets.onnx_graph.runtime import Array, GraphFailure, Session, is_finite, open_session, run
from service.nets.onnx_graph.state_rows import Rows, StateRows
from service.nets.onnx_graph.trial import MAX_SECONDS, REFUSED, Finding, Plan

#: A trial on a busy machine takes longer than its processor time.
TIMEOUT_SECONDS: Final = 6 * MAX_SECONDS
#: Findings of graphs that this process has tried: a model is loaded again after a change of another file.
MAX_TRIED: Final = 64
_tried: dict[bytes, Finding] = {}
_ROOT: Final = str(Path(__file__).parents[3])
_SCRIPT: Final = (
    f"import sys; sys.path.insert(0, {_ROOT!r}); from service.nets.onnx_graph import trial; sys.exit(trial.main())"
)


class NotFinite(GraphFailure):
    """Raised if the graph computes NaN or an infinite number."""


class OnnxNetwork(nn.Module):
    """Graph of a configuration, which has no session until `load` has read the file."""

    def __init__(self, config: GraphConfig) -> None:
        super().__init__()
        self.config = config
        self.parameter_count = 0
        self.finding = Finding()
        self._session: Session | None = None
        self._constants: dict[str, Array] = {}
        self._outputs = [entry.name for entry in config.outputs]
        self._names = [*self._outputs, *(entry.output for entry in config.state)]
        self.rows = _state_rows(config)
        self._overlaps = [entry.name for entry in config.inputs if entry.overlap]
        self._input_axes = {entry.name: batch_axis(entry.shape) for entry in config.inputs}
        self._output_axes = [batch_axis(entry.shape) or 0 for entry in config.outputs]

    def load(self, content: bytes, path: Path, config_path: Path) -> None:
        """Read the graph in the file at `path`, compare it with the configuration, and try it.

        Raises ModelFolderError, which names the file, what was found and what was expected.
        """
        try:
            graph = read_graph(content)
        except GraphError as error:
            raise ModelFolderError(f"{path}: {error}") from error
        if violations := list(graph_violations(self.config, graph)):
            raise config_error(str(config_path), violations)
        self._constants = constants_of(self.config, graph)
        self.parameter_count = graph.parameters
        self.finding = try_graph(content, make_plan(self.config, self._constants), path)
        try:
            self._session = open_session(content)
        except GraphFailure as error:
            raise ModelFolderError(
                f"{path}: found a graph that ONNX Runtime refuses ({error}), expected one"
            ) from error

    def initial_row(self, initial: Mapping[str, Array]) -> Rows:
        """Return the state (total,) before any input: zeros, but for the tensors `initial`, which have no batch."""
        row = np.zeros((1, self.rows.size), np.uint8)
        for part in self.rows.parts:
            if part.name in initial:
                part.flat(row)[...] = initial[part.name].reshape(1, part.count)
        first: Rows = row[0]
        return first

    def step(self, inputs: Sequence[Array], states: Rows) -> tuple[list[Array], Rows]:
        """Run one timestep of the inputs (B, row) and states (B, total).

        Return the outputs, their batch axis first, and the next states. B is 1 if the graph has no batch axis, and
        tensors then have the shapes of the graph, those of outputs with an axis of 1 in front. Raises GraphFailure.
        """
        assert self._session is not None, "the graph is not loaded"  # noqa: S101
        count, parts = len(self.config.state), self.rows.parts
        after = self.rows.empty(len(states))
        feeds = dict(self._constants)
        for part in parts[:count]:
            feeds[part.name] = part.read(states)
        tails = dict(zip(self._overlaps, parts[count:], strict=True))
        for entry, array in zip(self.config.inputs, inputs, strict=True):
            whole = array
            if entry.overlap:
                part = tails[entry.name]
                before = part.flat(states).reshape(len(states), *part.row)
                whole = np.concatenate([before, array], axis=-1)
                part.flat(after)[...] = whole[..., -entry.overlap :].reshape(len(states), part.count)
            feeds[entry.name] = self._to_graph(whole, self._input_axes[entry.name])
        results = run(self._session, self._names, feeds)
        for part, tensor in zip(parts[:count], results[len(self._outputs) :], strict=True):
            _require_finite(part.name, tensor)
            part.write(tensor, after)
        return self._outputs_of(results), after

    def _to_graph(self, array: Array, batch: int | None) -> Array:
        """Return an input whose batch axis is the first as the graph reads it."""
        if batch is None:
            single: Array = array[0]
            return single
        return array if batch == 0 else np.ascontiguousarray(np.moveaxis(array, 0, batch))

    def _outputs_of(self, results: list[Array]) -> list[Array]:
        outputs = results[: len(self._outputs)]
        for name, tensor in zip(self._outputs, outputs, strict=True):
            _require_finite(name, tensor)
        if not self.config.batched:
            return [tensor[None] for tensor in outputs]
        return [np.moveaxis(tensor, axis, 0) for tensor, axis in zip(outputs, self._output_axes, strict=True)]


def _state_rows(config: GraphConfig) -> StateRows:
    """Return the rows of the states and, behind them as in `graph_state`, of the overlaps."""
    specs = config.graph_state()
    axes = [batch_axis(entry.shape) for entry in config.state]
    axes += [0 if config.batched else None] * (len(specs) - len(axes))
    return StateRows([(spec.name, spec.dtype, spec.shape, axis) for spec, axis in zip(specs, axes, strict=True)])


def _require_finite(name: str, tensor: Array) -> None:
    if not is_finite(tensor):
        raise NotFinite(f"{name} holds a number that is not finite")


def try_graph(content: bytes, plan: Plan, path: Path) -> Finding:
    """Try a graph in a process of its own. Raises ModelFolderError."""
    digest = hashlib.sha256(json.dumps(asdict(plan)).encode() + b"\n" + content).digest()
    if digest not in _tried:
        finding = _try(trial.encode(plan, content), path)
        if len(_tried) >= MAX_TRIED:
            _tried.clear()
        _tried[digest] = finding
    return _tried[digest]


def _try(stdin: bytes, path: Path) -> Finding:
    command = [sys.executable, "-P", "-c", _SCRIPT]
    limits = f"{MAX_SECONDS} s of processor time and {trial.memory_limit(len(stdin)) >> 20} MiB"
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, timeout=TIMEOUT_SECONDS, start_new_session=True, check=False
        )
    except OSError as error:
        raise ModelFolderError(f"{path}: found a graph that cannot be tried ({error.strerror})") from error
    except subprocess.TimeoutExpired as error:
        raise ModelFolderError(f"{path}: found a graph that takes more than {TIMEOUT_SECONDS} s to try") from error
    text = done.stdout.decode("utf-8", "replace")
    if done.returncode == REFUSED:
        raise ModelFolderError(f"{path}: {text}")
    if done.returncode:
        raise ModelFolderError(
            f"{path}: found a graph whose trial ended with status {done.returncode}, expected it to run within {limits}"
        )
    return Finding(**json.loads(text))
