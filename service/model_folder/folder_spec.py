"""Specification of the model folders of an architecture."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from torch import Tensor

from service.model_folder.golden.comparison import Replay, Tolerance
from service.nets.network_spec import ConfigT, NetworkSpec, NetworkT

CompanionsT = TypeVar("CompanionsT")


@dataclass(frozen=True)
class FolderSpec(NetworkSpec[ConfigT, NetworkT], Generic[ConfigT, NetworkT, CompanionsT]):
    """The network of an architecture, and the other content of its model folders.

    `read_companions` reads the files that decide how inputs and outputs are read, such as tokenizers, from a folder.
    `replay` computes the golden vectors of the file at a path, whose tensors it gets by name, and compares them within
    a tolerance. Both raise ModelFolderError.
    """

    read_companions: Callable[[Path, ConfigT], CompanionsT]
    replay: Callable[[Path, dict[str, Tensor], NetworkT, CompanionsT, Tolerance], Replay]
