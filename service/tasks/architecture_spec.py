"""Specification of an architecture: everything that the server and the offline tools need to know of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias

from service.model_folder.folder_spec import CompanionsT, FolderSpec
from service.nets.network_spec import ConfigT, NetworkT
from service.tasks.base import AnyTask
from service.tasks.limits import TextLimits


@dataclass(frozen=True)
class ArchitectureSpec(FolderSpec[ConfigT, NetworkT, CompanionsT], Generic[ConfigT, NetworkT, CompanionsT]):
    """The network of an architecture, the content of its model folders, and its task.

    `make_task` returns the task that runs the operations of a loaded network.
    """

    make_task: Callable[[NetworkT, CompanionsT, TextLimits], AnyTask]


AnyArchitecture: TypeAlias = ArchitectureSpec[Any, Any, Any]
