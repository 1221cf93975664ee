"""State dicts among the values of a pickle: dictionaries of tensors by name, and modules that were saved whole."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from service.tooling.formats.values.estimators import is_estimator
from service.tooling.formats.values.modules import Tensors, is_module, read_module
from service.tooling.formats.values.tensors import StoredTensor, stored_tensor
from service.tooling.pickles.values import Instance, PickleError

#: Dictionaries, lists and objects that are looked at.
MAX_CONTAINERS = 10_000
#: Levels of them.
MAX_LEVELS = 100
#: Parts of the places of tensors that are not the network's.
_OTHER_PLACES = ("optim", "scheduler", "loops", "scaler", "_metadata")
#: Entries of the state of an optimizer, of PyTorch and of fastai.
_OPTIMIZERS = ({"state", "param_groups"}, {"state", "hypers"})
#: Parts of the places of copies that training keeps beside the network.
_AVERAGES = ("ema", "average", "avg", "swa", "shadow")
_COPIES = (*_AVERAGES, "best", "teacher")
#: Where trainers keep what belongs to the training, copies of the network among it.
_CALLBACKS = "callbacks"


@dataclass(frozen=True, slots=True)
class Place:
    """Tensors that belong together, and their path in the file, such as `state_dict`."""

    path: tuple[str, ...]
    found: Tensors

    @property
    def name(self) -> str:
        """The path as text."""
        return ".".join(self.path)

    @property
    def has_matrix(self) -> bool:
        """Whether one of the tensors has two dimensions or more, as a network's weights have."""
        return any(len(stored.shape) > 1 or stored.problem for stored in self.found.tensors.values())

    @property
    def is_pytorch(self) -> bool:
        """Whether tensors of PyTorch are among them; arrays of numpy beside such are rather scales of the inputs."""
        return any(stored.values is None for stored in self.found.tensors.values())

    @property
    def signature(self) -> object:
        """Names and shapes, which are equal in copies of a network, but for wrappers and for counts of steps."""
        tensors = self.found.tensors.items()
        return frozenset((name.removeprefix("module."), stored.shape) for name, stored in tensors if stored.shape)

    @property
    def is_average(self) -> bool:
        """Whether the place is called as that of the average of the weights in training."""
        return any(word in part.lower() for part in self.path for word in _AVERAGES)


_IS_NETWORK: tuple[Callable[[Place], bool], ...] = (lambda place: place.has_matrix, lambda place: place.is_pytorch)


def find_state_dicts(saved: object) -> tuple[list[Place], list[Place]]:
    """Return the state dicts of a file that make up its network, and the copies of them that training keeps.

    Raises PickleError for too many containers.
    """
    places = _network_places(saved)
    plain = {place.signature for place in places if not _is_copy(place.path)}
    copies = [place for place in places if _is_copy(place.path) and place.signature in plain]
    return [place for place in places if place not in copies and _CALLBACKS not in place.path], copies


def _network_places(saved: object) -> list[Place]:
    """Return the tensors that are a network's rather than those of its training or its inputs."""
    places = [*_places(saved)]
    for is_network in _IS_NETWORK:
        places = [place for place in places if is_network(place)] or places
    paths = [place.path for place in places]
    # Tensors beside a state dict, such as the loss of a training checkpoint, are no part of it.
    return [place for place in places if not any(_is_inside(path, place.path) for path in paths)]


def _is_inside(path: tuple[str, ...], outer: tuple[str, ...]) -> bool:
    return len(path) > len(outer) and path[: len(outer)] == outer


def _is_copy(path: tuple[str, ...]) -> bool:
    return any(word in part.lower() for part in path for word in _COPIES)


def _places(saved: object) -> Iterator[Place]:
    # The last entry says whether the value is a part of a model of another library, whose arrays are no network.
    waiting: list[tuple[tuple[str, ...], object, bool]] = [((), saved, False)]
    entered: set[int] = set()
    while waiting:
        path, value, foreign = waiting.pop()
        if id(value) in entered or _is_other(path, value):
            continue
        entered.add(id(value))
        if len(entered) > MAX_CONTAINERS:
            raise PickleError(f"more than {MAX_CONTAINERS} dictionaries")
        if len(path) > MAX_LEVELS:
            raise PickleError(f"more than {MAX_LEVELS} levels of dictionaries")
        if is_module(value) and isinstance(value, Instance):
            yield Place(path, read_module(value))
            continue
        foreign = foreign or (isinstance(value, Instance) and is_estimator(value.name))
        yield from _place_of(path, value, foreign=foreign)
        waiting += _inner(path, value, foreign=foreign)


def _place_of(path: tuple[str, ...], value: object, *, foreign: bool) -> Iterator[Place]:
    place = Place(path, Tensors(_tensors_among(entries_of(value))))
    if place.found.tensors and (place.is_pytorch or not foreign):
        yield place


def _inner(path: tuple[str, ...], value: object, *, foreign: bool) -> list[tuple[tuple[str, ...], object, bool]]:
    """Return the containers in a value, the last one first."""
    inner = [((*path, shown(key)), item, foreign) for key, item in entries_of(value).items() if _is_container(item)]
    return inner[::-1]


def _tensors_among(entries: dict[Any, Any]) -> dict[str, StoredTensor]:
    return {
        key: stored
        for key, item in entries.items()
        if isinstance(key, str) and (stored := stored_tensor(item)) is not None
    }


def entries_of(value: object) -> dict[Any, Any]:
    """Return what a dictionary, a list, or an object of any class holds, by key, position or attribute."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list | tuple):
        return dict(enumerate(value))
    if isinstance(value, Instance):
        return {**value.attributes, **value.entries, **dict(enumerate(value.items))}
    return {}


def shown(value: object, max_characters: int = 500) -> str:
    """Return a key as reports show it: a text as it is, of other objects only simple ones."""
    simple = isinstance(value, str | int | float | bool | None)
    text = str(value) if simple else f"a {value.name if isinstance(value, Instance) else type(value).__name__}"
    return text if len(text) <= max_characters else f"{text[:max_characters]}..."


def _is_container(value: object) -> bool:
    return isinstance(value, dict | list | tuple | Instance) and stored_tensor_or_none(value) is None


def stored_tensor_or_none(value: object) -> object:
    """Return a tensor, or None if the value is another, also if it is a damaged one."""
    try:
        return stored_tensor(value)
    except PickleError:
        return value


def _is_other(path: tuple[str, ...], value: object) -> bool:
    """Return whether a value belongs to the training and not to the network."""
    if path[-2:-1] == (_CALLBACKS,):
        return not _is_copy(path[-1:])
    named = any(word in part.lower() for part in path[-1:] for word in _OTHER_PLACES)
    entries = entries_of(value).keys() if isinstance(value, dict | Instance) else set()
    return named or any(fields <= entries for fields in _OPTIMIZERS)
