"""Tensors of an ONNX graph in the Open Inference Protocol: those that its configuration declares."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from service.domain.errors import InvalidRequest
from service.domain.operations import Base64, Infer, PredictOptions, TensorInput
from service.domain.tensors import SIZES, Tensor, TensorSpec
from service.nets.onnx_graph.graph_config import BATCH, GraphConfig, TensorField
from service.nets.onnx_graph.runtime import Array

DATATYPES: Final = {
    "float32": "FP32", "float64": "FP64", "float16": "FP16", "int64": "INT64", "int32": "INT32", "int16": "INT16",
    "int8": "INT8", "uint64": "UINT64", "uint32": "UINT32", "uint16": "UINT16", "uint8": "UINT8", "bool": "BOOL",
}  # fmt: skip


class GraphTensors:
    """The inputs and outputs of a graph. Its constants and states are no tensors of a request.

    A batch has a row for each request without a session. With the option `steps` the first axis has timesteps.
    """

    has_sequences = True
    opening_inputs: tuple[str, ...] = ()
    unlisted_inputs: tuple[TensorSpec, ...] = ()

    def __init__(self, config: GraphConfig) -> None:
        self._config = config
        self.inputs = tuple(map(_spec, config.inputs))
        self.outputs = tuple(map(_spec, config.outputs))
        self._outputs = {entry.name: entry for entry in config.outputs}

    def operations(
        self, inputs: Mapping[str, Tensor], options: PredictOptions, outputs: tuple[str, ...]
    ) -> list[Infer]:
        """Return the operation of each row of the batch. Raises InvalidRequest."""
        if options.steps or not self._config.batched:
            return [Infer(TensorInput(tuple(inputs.values())), options, outputs)]
        axes = {entry.name: entry.shape.index(BATCH) for entry in self._config.inputs}
        split = [_rows(tensor, axes[name]) for name, tensor in inputs.items()]
        counts = {len(rows) for rows in split}
        if len(counts) != 1:
            raise InvalidRequest(
                f"inputs have batches of {', '.join(map(str, sorted(counts)))} rows: expected the same number in each",
                param="inputs",
            )
        return [Infer(TensorInput(row), options, outputs) for row in zip(*split, strict=True)]

    def tensors(self, answers: Sequence[Mapping[str, Any]], outputs: Sequence[str]) -> list[Tensor]:
        """Return the named output tensors, given the output of each row's outcome."""
        return [self._tensor(self._outputs[name], [answer["tensors"][name] for answer in answers]) for name in outputs]

    def _tensor(self, entry: TensorField, packed: Sequence[Mapping[str, Any]]) -> Tensor:
        arrays = [np.frombuffer(Base64.bytes_of(own["data"]), entry.dtype).reshape(own["shape"]) for own in packed]
        array = arrays[0]
        if BATCH in entry.shape and array.ndim == len(entry.row):
            array = _joined(arrays, entry.shape.index(BATCH))
        return Tensor(entry.name, DATATYPES[entry.dtype], array.shape, array.tobytes())


def _spec(entry: TensorField) -> TensorSpec:
    shape = tuple(axis if isinstance(axis, int) else -1 for axis in entry.shape)
    return TensorSpec(entry.name, DATATYPES[entry.dtype], shape)


def _rows(tensor: Tensor, axis: int) -> list[Tensor]:
    """Return each row of a batch as a tensor without the batch axis. Raises InvalidRequest."""
    if len(tensor.shape) <= axis:
        raise InvalidRequest(f"{tensor.name} has the shape {[*tensor.shape]}: expected a batch axis", param=tensor.name)
    size = SIZES[tensor.datatype]
    array = np.frombuffer(tensor.data, np.uint8).reshape(*tensor.shape, size)
    moved = np.moveaxis(array, axis, 0)
    return [Tensor(tensor.name, tensor.datatype, row.shape[:-1], row.tobytes()) for row in moved]


def _joined(arrays: Sequence[Array], axis: int) -> Array:
    """Return the rows of a batch as one array. Raises InvalidRequest for rows of different shapes."""
    if len({array.shape for array in arrays}) > 1:
        raise InvalidRequest("the outputs of the rows have different shapes: expected one row", param="inputs")
    return np.stack(arrays, axis)
