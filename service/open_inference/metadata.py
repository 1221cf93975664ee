"""Metadata of the server and of models, and their configuration, as JSON of the protocol and of Triton."""

from service import __version__
from service.application.inference import MAX_BATCH_ROWS, TensorModel
from service.domain.models import ModelVersion
from service.domain.operations import Json
from service.domain.tensors import TensorSpec

PLATFORM = "unroll"
#: Extensions of the protocol that every transport serves.
SHARED_EXTENSIONS = (
    "sequence",
    "sequence(string_id)",
    "binary_tensor_data",
    "model_configuration",
    "model_repository",
    "statistics",
    "parameters",
)
#: Triton's names of the datatypes that differ from the protocol's.
_CONFIG_TYPES = {"BYTES": "STRING"}


def server_description(extensions: tuple[str, ...]) -> dict[str, Json]:
    """Return name and release of the server, and the extensions of the protocol that it serves."""
    return {"name": "unroll", "version": __version__, "extensions": [*extensions]}


def metadata(model: TensorModel, versions: list[ModelVersion]) -> dict[str, Json]:
    """Return the metadata of a model."""
    return {
        "name": model.version.name,
        "versions": [version.version for version in versions],
        "platform": PLATFORM,
        "inputs": [_tensor(spec) for spec in model.interface.inputs],
        "outputs": [_tensor(spec) for spec in model.interface.outputs],
    }


def _tensor(spec: TensorSpec) -> Json:
    return {"name": spec.name, "datatype": spec.datatype, "shape": [*spec.shape]}


def configuration(model: TensorModel) -> dict[str, Json]:
    """Return the configuration of a model in Triton's form. It tells clients whether the model has sequences."""
    config: dict[str, Json] = {
        "name": model.version.name,
        "platform": PLATFORM,
        "backend": PLATFORM,
        "version_policy": {"all": {}},
        "max_batch_size": MAX_BATCH_ROWS,
        "input": [{**_config_tensor(spec), "optional": spec.optional} for spec in model.interface.inputs],
        "output": [_config_tensor(spec) for spec in model.interface.outputs],
        "parameters": {},
    }
    if model.interface.has_sequences:
        config["sequence_batching"] = {"max_sequence_idle_microseconds": 3_600_000_000}
    return config


def _config_tensor(spec: TensorSpec) -> dict[str, Json]:
    """Return a tensor without the batch, which `max_batch_size` stands for."""
    datatype = _CONFIG_TYPES.get(spec.datatype, spec.datatype)
    return {
        "name": spec.name,
        "data_type": f"TYPE_{datatype}",
        "dims": [*spec.shape[1:]],
        "is_shape_tensor": False,
    }
