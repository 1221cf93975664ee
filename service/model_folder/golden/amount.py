"""Bounds on the work of a replay, from the shapes in the header of the golden vectors."""

from math import isqrt
from pathlib import Path
from typing import NamedTuple

from service.domain.errors import ModelFolderError
from service.model_folder.memory import require_memory
from service.model_folder.safetensors_io import OpenTensorFile

MAX_BYTES = 2**28
#: The longest sequence. A replay runs it timestep by timestep, too.
MAX_TIMESTEPS = 2**14
#: Products of matrices, in multiplications: half a minute of a processor core.
MAX_MULTIPLICATIONS = 2**37
#: Rows of windows of all timesteps together.
MAX_WINDOW_ROWS = 2**21
#: The replay's own outputs, in each mode of computing, and their differences in float64, for each byte of the file.
MEMORY_PER_BYTE = 8


class NetworkSize(NamedTuple):
    """The number of a network's parameters, and of the rows that it reads for one input: those of a window, or 1."""

    parameters: int
    rows_per_input: int = 1


def check_amount(path: Path, file: OpenTensorFile, size: NetworkSize) -> None:
    """Raise ModelFolderError if the replay of a file on a network takes too much memory or time."""
    if file.data_bytes > MAX_BYTES:
        raise ModelFolderError(f"{path}: found {file.data_bytes} bytes of tensors, expected at most {MAX_BYTES}")
    require_memory(path, MEMORY_PER_BYTE * file.data_bytes)
    inputs = {name: entry.shape for name, entry in file.header.entries.items() if name.startswith("inputs.")}
    shapes = [shape for name, shape in inputs.items() if name != "inputs.vector"]  # it has no timesteps
    lengths = [shape[1] for shape in shapes if len(shape) > 1]
    longest = max(lengths, default=0)
    if longest > MAX_TIMESTEPS:
        raise ModelFolderError(f"{path}: found {longest} timesteps, expected at most {MAX_TIMESTEPS}")
    rows = max((shape[0] for shape in shapes if shape), default=0)
    parameters, window = size
    if window > 1 and rows * longest * window > MAX_WINDOW_ROWS:
        raise ModelFolderError(
            f"{path}: found {rows} sequences of up to {longest} timesteps, each of which is read with a window of "
            f"{window} inputs, expected at most {MAX_WINDOW_ROWS} inputs altogether: fewer or shorter ones do"
        )
    # Each timestep uses every parameter once; attention reads a position of the source as wide as a layer.
    work = rows * sum(lengths) * window * (parameters + longest * isqrt(parameters))
    if work > MAX_MULTIPLICATIONS:
        raise ModelFolderError(
            f"{path}: found {rows} sequences of up to {longest} timesteps, which take {work} multiplications by a "
            f"network of {parameters} parameters, expected at most {MAX_MULTIPLICATIONS}: fewer or shorter ones do"
        )
