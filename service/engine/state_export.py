"""The port of state files: a session's state as a safetensors file, and back, checked against its model's layout."""

from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.errors import InvalidRequest
from service.domain.models import ModelVersion
from service.engine.registry import ModelRegistry
from service.model_folder.safetensors_io import TensorFile, TensorFileError, parse_tensor_file, tensor_file
from service.tasks.imported_tensors import ImportedTensors

#: Room for the names of a thousand tensors. A longer header is no state's, and takes long to parse.
MAX_HEADER_BYTES = 131_072


@dataclass(frozen=True, slots=True)
class SafetensorsStateFile:
    """A file that was read: what it says of itself, and tensors that no model was asked about yet."""

    registry: ModelRegistry
    file: TensorFile

    @property
    def metadata(self) -> Mapping[str, str]:
        """The names and values of its header."""
        return self.file.metadata

    def state(self, model: ModelVersion) -> bytes:
        """Return the state as a session of `model` stores it. Raises InvalidRequest for a tensor that does not fit."""
        codec = self.registry.get(model).task.state_codec
        tensors = ImportedTensors(self.file.tensors)
        state = codec.from_tensors(tensors)
        tensors.reject_remaining()
        return codec.to_bytes(state)


@dataclass(frozen=True, slots=True)
class SafetensorsStateFiles:
    """Writes and reads the files of all loaded models."""

    registry: ModelRegistry

    def write(self, model: ModelVersion, state: bytes, metadata: Mapping[str, str]) -> bytes:
        """Return the file of a stored state. Raises StateCorrupted."""
        codec = self.registry.get(model).task.state_codec
        return tensor_file(codec.to_tensors(codec.from_bytes(state)), metadata)

    def read(self, content: bytes) -> SafetensorsStateFile:
        """Read a file. Raises InvalidRequest that says what it is instead."""
        header = int.from_bytes(content[:8], "little")
        if MAX_HEADER_BYTES < header <= len(content):
            raise InvalidRequest(
                f"the body's safetensors header has {header} bytes: expected at most {MAX_HEADER_BYTES}", param="body"
            )
        try:
            return SafetensorsStateFile(self.registry, parse_tensor_file(content))
        except TensorFileError as error:
            raise InvalidRequest(f"the body is no state of a session: {error}", param="body") from error
