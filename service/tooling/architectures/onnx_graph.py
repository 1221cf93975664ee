"""Offline tools of ONNX graphs."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from service.domain.errors import InvalidRequest, ModelFolderError
from service.domain.operations import Predict, TensorInput
from service.domain.tensors import Tensor as PackedTensor
from service.nets.onnx_graph.tensor_config import TensorConfig
from service.tasks.base import AnyTask
from service.tooling.architectures.graphs import GraphTools
from service.tooling.pack.companion_files import CompanionFiles
from service.tooling.predict.arguments import PredictionArguments
from service.tooling.verify.quality import Metric


class OnnxGraphTools(GraphTools[TensorConfig]):
    """Tools of the graphs of the task `tensor`."""

    def check_companions(self, target: Path, config: TensorConfig, files: CompanionFiles) -> None:
        given = {"word list": files.vocab_origin, "tokenizer": files.tokenizer, "preprocessor": files.preprocessor}
        for kind, path in given.items():
            if path is not None:
                raise ModelFolderError(f"{path}: found a {kind}, expected none: a graph reads tensors")

    def write_companions(self, folder: Path, config: TensorConfig, files: CompanionFiles) -> None:
        """Write nothing: `pack` copies the graph and its initial states."""

    def example(self, folder: Path, config: TensorConfig) -> dict[str, Any]:
        shapes = {entry.name: [size if isinstance(size, int) else 1 for size in entry.row] for entry in config.inputs}
        return {"tensors": {name: np.zeros(shape, int).tolist() for name, shape in shapes.items()}}

    def metric(self, data: Path, task: AnyTask, config: TensorConfig) -> Metric:
        raise InvalidRequest(f"{data} is given: expected none, since a graph's tensors have no quality to measure")

    def read_input(self, model: str, config: TensorConfig, arguments: PredictionArguments) -> TensorInput:
        names = ", ".join(entry.name for entry in config.inputs)
        if arguments.text is None:
            raise InvalidRequest(f"TEXT is missing: expected a JSON object of the tensors {names} of {model}")
        try:
            tensors = json.loads(arguments.text)
            packed = tuple(_pack(name, np.array(value)) for name, value in tensors.items())
        except (ValueError, AttributeError, KeyError) as error:
            raise InvalidRequest(f"TEXT is no JSON object of tensors ({error}): expected {names}") from error
        return TensorInput(packed)

    def render(self, config: TensorConfig, operation: Predict, output: dict[str, Any]) -> str:
        return "\n".join(f"{name}: {json.dumps(tensor)}" for name, tensor in output["tensors"].items())


def _pack(name: str, array: "np.ndarray[Any, np.dtype[Any]]") -> PackedTensor:
    """Return an array as a tensor. Raises KeyError for one that is not of numbers."""
    datatype = {"i": "INT64", "u": "UINT64", "f": "FP64", "b": "BOOL"}[array.dtype.kind]
    return PackedTensor(name, datatype, array.shape, array.tobytes())
