"""Specification of the network of an architecture, and its selection by the fields of a config.json."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, TypeVar, get_args

from torch import nn

from service.nets.config.architecture_config import ArchitectureConfig
from service.nets.config.loader import build_config, config_error, quote, read_json

ConfigT = TypeVar("ConfigT", bound=ArchitectureConfig)
NetworkT = TypeVar("NetworkT", bound=nn.Module)
SpecT = TypeVar("SpecT", bound="NetworkSpec[Any, Any]")


@dataclass(frozen=True)
class NetworkSpec(Generic[ConfigT, NetworkT]):
    """The configuration and the network of an architecture.

    `make_network` returns the network that a configuration describes, uninitialised. `device_methods` are its methods
    that run on the device; the others create or select tensors on the CPU.
    """

    config_class: type[ConfigT]
    make_network: Callable[[ConfigT], NetworkT]
    device_methods: tuple[str, ...]

    @property
    def architectures(self) -> tuple[str, ...]:
        """The values of the field `architecture` that select this specification."""
        return get_args(self.config_class.model_fields["architecture"].annotation)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The values of the field `task` that select this specification."""
        return get_args(self.config_class.model_fields["task"].annotation)


def find_spec(raw: dict[str, Any], place: str, specs: Sequence[SpecT]) -> SpecT:
    """Return the specification of the task and architecture that a config.json states; `place` names it in messages.

    The only architecture of a task is returned whatever `architecture` is: its configuration reports the violation
    together with all others. Raises ModelFolderError.
    """
    task, architecture = raw.get("task", "nothing"), raw.get("architecture", "nothing")
    candidates = [spec for spec in specs if task in spec.tasks]
    if not candidates:
        known = _list(spec.tasks for spec in specs)
        raise config_error(place, [("task", quote(task), f"one of {known}; others are not served yet")])
    for spec in candidates:
        if architecture in spec.architectures or len(candidates) == 1:
            return spec
    known = _list(spec.architectures for spec in candidates)
    raise config_error(place, [("architecture", quote(architecture), f"one of {known}")])


def _list(names: Iterable[tuple[str, ...]]) -> str:
    return ", ".join(dict.fromkeys(map(repr, chain.from_iterable(names))))


def parse_config(content: bytes, place: str, specs: Sequence[SpecT]) -> tuple[SpecT, ArchitectureConfig]:
    """Return the configuration that the bytes of a config.json hold, and its specification. Raises ModelFolderError."""
    raw = read_json(content, place)
    spec = find_spec(raw, place, specs)
    return spec, build_config(spec.config_class, raw, place)
