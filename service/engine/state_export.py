"""Export and import of session states as safetensors files. Imports are checked against the model's layout."""

from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.errors import InvalidRequest
from service.domain.models import ModelVersion
from service.engine.loaded_models import ModelRegistry
from service.model_folder.safetensors_header import TensorFileError
from service.model_folder.safetensors_io import TensorFile, parse_tensor_file, tensor_file
from service.tasks.imported_tensors import ImportedTensors

#: Enough for the names of a thousand tensors. A longer header takes long to parse, and no state needs it.
MAX_HEADER_BYTES = 131_072
#: Two for each of 256 layers, and some more.
MAX_TENSORS = 1024


@dataclass(frozen=True, slots=True)
class SafetensorsStateFile:
    """Parsed file: its metadata, and its tensors, which are not yet compared with a model."""

    registry: ModelRegistry
    file: TensorFile

    @property
    def metadata(self) -> Mapping[str, str]:
        """Names and values of the header's metadata."""
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
    """Writer and reader of state files, the application's port `StateFiles`."""

    registry: ModelRegistry

    def write(self, model: ModelVersion, state: bytes, metadata: Mapping[str, str]) -> bytes:
        """Return the file of a stored state. Raises StateCorrupted."""
        codec = self.registry.get(model).task.state_codec
        return tensor_file(codec.to_tensors(codec.from_bytes(state)), metadata)

    def read(self, content: bytes) -> SafetensorsStateFile:
        """Parse a file. Raises InvalidRequest for any other content."""
        header = int.from_bytes(content[:8], "little")
        if MAX_HEADER_BYTES < header <= len(content):
            raise InvalidRequest(
                f"the body's safetensors header has {header} bytes: expected at most {MAX_HEADER_BYTES}", param="body"
            )
        try:
            return SafetensorsStateFile(self.registry, parse_tensor_file(content, MAX_TENSORS))
        except TensorFileError as error:
            raise InvalidRequest(f"the body is no state of a session: {error}", param="body") from error
