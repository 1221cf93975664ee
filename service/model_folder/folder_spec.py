"""Specification of the model folders of an architecture."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor

from service.domain.operations import ComputeDtype, Device
from service.model_folder.golden.comparison import Replay, Tolerance
from service.model_folder.safetensors_weights import read_safetensors_weights
from service.nets.network_spec import ConfigT, NetworkSpec, NetworkT

CompanionsT = TypeVar("CompanionsT")
NetworkT_co = TypeVar("NetworkT_co", covariant=True)


class Weights(Protocol[NetworkT_co]):
    """The weights of a folder in memory."""

    @property
    def parameters(self) -> int: ...

    def network(self, dtype: ComputeDtype, device: Device) -> NetworkT_co:
        """Return the network, to run in `dtype` on `device`. Raises ModelFolderError."""

    def contents(self) -> Iterator[tuple[str, bytes | bytearray]]:
        """Yield what the fingerprint covers, with a label each."""


@dataclass(frozen=True)
class FolderSpec(NetworkSpec[ConfigT, NetworkT], Generic[ConfigT, NetworkT, CompanionsT]):
    """The network of an architecture, and the other content of its model folders.

    `read_companions` reads the files that decide how inputs and outputs are read, such as tokenizers, from a folder.
    `replay` computes the golden vectors of the file at a path, whose tensors it gets by name, and compares them within
    a tolerance. `read_weights` reads the weights of a folder. All raise ModelFolderError. `own_arithmetic`: the file of
    the network states its arithmetic, so that no setting changes it.
    """

    read_companions: Callable[[Path, ConfigT], CompanionsT]
    replay: Callable[[Path, dict[str, Tensor], NetworkT, CompanionsT, Tolerance], Replay]
    read_weights: Callable[[Path, Any, ConfigT], Weights[NetworkT]] = field(
        default=read_safetensors_weights, kw_only=True
    )
    own_arithmetic: bool = field(default=False, kw_only=True)
