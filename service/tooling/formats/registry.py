"""The formats, and the reader of a file of any of them."""

from collections.abc import Sequence
from pathlib import Path

from service.domain.errors import ModelFolderError
from service.domain.files import entry_names
from service.model_folder.memory import require_memory
from service.tooling.formats.format import Format
from service.tooling.formats.json_arrays import JsonArrays
from service.tooling.formats.keras.model import KerasArchive, KerasHdf5
from service.tooling.formats.network import SavedNetwork
from service.tooling.formats.numpy_files import NumpyArchive, NumpyArray
from service.tooling.formats.other_files import describe_folder, describe_other
from service.tooling.formats.pytorch.legacy import TorchLegacy
from service.tooling.formats.pytorch.plain_pickle import PlainPickle
from service.tooling.formats.pytorch.torchscript import TorchScript
from service.tooling.formats.pytorch.zip_file import TorchZip
from service.tooling.formats.safetensors_file import Safetensors
from service.tooling.formats.source import Source, Weights, open_source
from service.tooling.pickles.address_space import limited_address_space

#: Memory for reading a file: some for the library, and some for each byte of the file.
MEMORY_BYTES = 2**29
MEMORY_PER_BYTE = 4
FORMATS: Sequence[Format] = (
    Safetensors(),
    KerasArchive(),
    KerasHdf5(),
    TorchScript(),
    TorchZip(),
    TorchLegacy(),
    NumpyArchive(),
    NumpyArray(),
    JsonArrays(),
    PlainPickle(),
)


def read_network(path: Path, formats: Sequence[Format] = FORMATS, *, weights: Weights = "plain") -> SavedNetwork:
    """Return the network in a file of any format, with the weights or their moving average.

    Nothing of the file is imported or run. Raises ModelFolderError.
    """
    if path.is_dir():
        raise ModelFolderError(f"{path}: {describe_folder(entry_names(path))}")
    with open_source(path, weights) as source:
        require_memory(path, source.size)
        try:
            with limited_address_space(MEMORY_PER_BYTE * source.size + MEMORY_BYTES):
                return _read(source, formats)
        except MemoryError as error:
            raise source.error("values that take much more memory than the file", "a state dict") from error


def _read(source: Source, formats: Sequence[Format]) -> SavedNetwork:
    for item in formats:
        if item.recognizes(source):
            return item.read(source)
    raise ModelFolderError(f"{source.path}: {describe_other(source)}")
