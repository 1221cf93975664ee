"""Trial of one configuration of a checkpoint on golden vectors, in memory."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from service.domain.errors import ModelFolderError
from service.model_folder.golden.amount import NetworkSize
from service.model_folder.golden.comparison import Replay
from service.model_folder.golden.replay import FILE, replay_golden
from service.model_folder.safetensors_io import open_tensor_file
from service.model_folder.safetensors_weights import assemble
from service.tooling.architecture_tools import tools_of
from service.tooling.pack.configuration.proposer import Configuration
from service.tooling.pack.conversion import Converted, PackSource, convert


class GoldenTrials:
    """Trials of configurations of one checkpoint on the golden vectors that are given with it.

    `multiplications` are those of the trials so far, about.
    """

    def __init__(self, source: PackSource, target: Path, folder: Path) -> None:
        """Use `folder`, an empty one, for the golden vectors and the files that decide how inputs are read."""
        self._source, self._target, self._folder = source, target, folder
        self._companions: dict[str, Any] = {}
        self.multiplications = 0
        source.companions.write_common(folder)
        with open_tensor_file(folder / FILE) as file:
            self.shapes = {name: entry.shape for name, entry in file.header.entries.items()}

    @property
    def timesteps(self) -> int:
        """The length of the longest sequence."""
        return max((shape[1] for name, shape in self.shapes.items() if _is_input(name, shape)), default=0)

    def run(self, found: Configuration, inputs: Mapping[str, object]) -> Replay:
        """Return the replay on the network of a configuration.

        `inputs` are the settings that decide how inputs are read: with equal ones, tokenizers are read once. Raises
        DiffersFromGolden for other numbers, ModelFolderError for a network that cannot be.
        """
        converted = convert(self._source, found, str(self._source.path), self._target)
        companions = self._read_companions(converted, json.dumps(inputs, default=str, sort_keys=True))
        tensors = {name: tensor.float() for name, tensor in converted.tensors.items()}
        network = assemble(converted.spec, converted.config, tensors, converted.config.dtype)
        size = NetworkSize(sum(map(torch.numel, tensors.values())), converted.config.rows_per_input)
        rows = sum(shape[0] * shape[1] for name, shape in self.shapes.items() if _is_input(name, shape))
        self.multiplications += size.parameters * size.rows_per_input * rows
        replay = replay_golden(self._folder, converted.spec, network, companions, size)
        if replay is None:
            raise ModelFolderError(f"{self._folder / FILE}: found nothing, expected golden vectors")
        return replay

    def _read_companions(self, converted: Converted, inputs: str) -> Any:  # noqa: ANN401 - of any architecture
        own = tools_of(converted.spec)
        if inputs not in self._companions:
            place = Path(tempfile.mkdtemp(dir=self._folder))
            (place / "config.json").write_text(json.dumps(converted.raw), "utf-8")
            own.write_companions(place, converted.config, self._source.companions)
            self._companions[inputs] = converted.spec.read_companions(place, converted.config)
        return self._companions[inputs]


def _is_input(name: str, shape: Sequence[int]) -> bool:
    return name.startswith("inputs.") and len(shape) > 1
