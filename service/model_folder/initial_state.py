"""Initial states of an ONNX graph: zeros, or tensors of safetensors files of the folder."""

from pathlib import Path

import numpy as np

from service.domain.errors import ModelFolderError
from service.model_folder.memory import require_memory
from service.model_folder.safetensors_header import DTYPES
from service.model_folder.safetensors_io import StoredTensor, open_tensor_file
from service.nets.onnx_graph.graph_config import BATCH, GraphConfig, StateField
from service.nets.onnx_graph.runtime import Array, is_finite


def read_initial_state(folder: Path, config: GraphConfig) -> dict[str, Array]:
    """Return the initial states that are not zeros, by the names of their inputs, without the batch.

    Raises ModelFolderError.
    """
    files = {name: _read(folder / name) for name in config.initial_files}
    return {
        entry.input: _take(folder / entry.source.file, files[entry.source.file], entry)
        for entry in config.state
        if entry.source is not None
    }


def _read(path: Path) -> dict[str, StoredTensor]:
    with open_tensor_file(path) as file:
        require_memory(path, 2 * file.data_bytes)
        return file.read().tensors


def _take(path: Path, tensors: dict[str, StoredTensor], entry: StateField) -> Array:
    name = entry.source.tensor if entry.source is not None else ""
    stored = tensors.get(name)
    if stored is None:
        raise ModelFolderError(f"{path}: {name}: found no such tensor, expected one of {', '.join(sorted(tensors))}")
    single = tuple(1 if axis == BATCH else axis for axis in entry.shape)
    dtype = str(DTYPES[stored.dtype]).removeprefix("torch.")
    if dtype != entry.dtype or stored.shape not in {entry.row, single}:
        expected = f"{entry.dtype} of shape {[*entry.row]}, as config.json declares {entry.input}"
        raise ModelFolderError(f"{path}: {name}: found {dtype} of shape {[*stored.shape]}, expected {expected}")
    array = np.frombuffer(stored.data, entry.dtype).reshape(entry.row)
    if not is_finite(array):
        raise ModelFolderError(f"{path}: {name}: found NaN or an infinite number, expected finite ones")
    return array
