"""Specification of an architecture: everything that the server and the offline tools need to know of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias

from service.model_folder.folder_spec import CompanionsT, FolderSpec
from service.nets.descriptions.layers import NetworkDescription
from service.nets.network_spec import ConfigT, NetworkT
from service.tasks.base import AnyTask
from service.tasks.limits import TextLimits


@dataclass(frozen=True)
class ArchitectureSpec(FolderSpec[ConfigT, NetworkT, CompanionsT], Generic[ConfigT, NetworkT, CompanionsT]):
    """The network of an architecture, the content of its model folders, its task and its offline tools.

    `describe` returns the layers of the network that a configuration describes. `make_task` returns the task that runs
    the operations of a loaded network. `tools` is `module:class` of its `ArchitectureTools`, which only the offline
    tools import.
    """

    describe: Callable[[ConfigT], NetworkDescription]
    make_task: Callable[[NetworkT, CompanionsT, TextLimits], AnyTask]
    tools: str


AnyArchitecture: TypeAlias = ArchitectureSpec[Any, Any, Any]
