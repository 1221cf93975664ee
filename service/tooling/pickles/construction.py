"""Plain values that a pickle makes by calls: dictionaries, sets, bytes and so on are built here, without the call."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from service.tooling.pickles.budget import PickleBudget
from service.tooling.pickles.values import Global, Instance, PickleError

#: Values in the key of a dictionary. Python computes a hash by recursion, without a limit, and again each time.
MAX_KEY_VALUES = 100
_OLD_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg", "exceptions": "builtins"}
_PLAIN_KEYS = (str, int, float, complex, bytes, type(None), Global, Instance)


def global_of(module: str, name: str) -> Global:
    """Return what stands for a name that the pickle imports; names of Python 2 become those of Python 3."""
    return Global(f"{_OLD_MODULES.get(module, module)}.{name}")


def require_key(value: object) -> None:
    """Raise PickleError unless a value can be the key of a dictionary."""
    waiting = [value]
    for _ in range(MAX_KEY_VALUES):
        if not waiting:
            return
        item = waiting.pop()
        if isinstance(item, tuple | frozenset) and len(item) < MAX_KEY_VALUES:
            waiting.extend(item)
        elif not isinstance(item, _PLAIN_KEYS):
            raise PickleError(f"a key that is a {type(item).__name__}")
    raise PickleError(f"a key of more than {MAX_KEY_VALUES} values")


def call(budget: PickleBudget, function: object, arguments: object, keywords: object = None) -> object:
    """Return a plain value or an Instance for the call of a function or class. Raises PickleError."""
    if not isinstance(arguments, tuple):
        raise PickleError("a call without a tuple of arguments")
    name = function.name if isinstance(function, Global) else ""
    if name == "copyreg.__newobj__" and arguments:
        return call(budget, arguments[0], arguments[1:])
    if name == "copyreg._reconstructor" and len(arguments) == 3:
        return _reconstruct(budget, *arguments)
    build = _BUILDERS.get(name)
    if build is None or keywords:
        return Instance(function, arguments, keywords if isinstance(keywords, dict) else {})
    budget.count_work(_length(*arguments))
    return _build(build, function, arguments)


def dictionary(pairs: object = ()) -> dict[Any, Any]:
    """Return a dictionary of pairs or of another one. Raises PickleError for keys that are no plain values."""
    items = list(pairs.items()) if isinstance(pairs, dict) else [(key, value) for key, value in _listed(pairs)]
    for key, _ in items:
        require_key(key)
    return dict(items)


def unique(items: object = ()) -> set[Any]:
    """Return a set. Raises PickleError for elements that are no plain values."""
    elements = _listed(items)
    for item in elements:
        require_key(item)
    return set(elements)


def _build(build: Callable[..., object], function: object, arguments: tuple[Any, ...]) -> object:
    """Return the plain value, or an Instance for arguments that the class takes and that make no plain value here."""
    try:
        return build(*arguments)
    except (TypeError, ValueError, OverflowError):
        return Instance(function, arguments)


def _reconstruct(budget: PickleBudget, cls: object, base: object, value: object) -> object:
    """Return the Instance of a class by the oldest protocols; `value` holds what its base class holds."""
    made = call(budget, cls, ())
    if isinstance(made, Instance) and isinstance(base, Global):
        budget.count_work(_length(value))
        if isinstance(value, dict):
            made.entries.update(value)
        elif isinstance(value, list):
            made.items.extend(value)
        elif base.name != "builtins.object":
            made.arguments = (value,)
    return made


def _length(*values: object) -> int:
    """Return the number of elements of all values that have some."""
    return sum(len(value) for value in values if isinstance(value, _SIZED))


def _listed(value: object) -> Iterable[Any]:
    if isinstance(value, list | tuple | set | frozenset):
        return value
    raise TypeError


def _default_dictionary(_factory: object = None, pairs: object = ()) -> dict[Any, Any]:
    return dictionary(pairs)


def _bytes(value: object = b"", encoding: object = "latin-1") -> bytes:
    """Return bytes of bytes, of a list of numbers, or of a text as protocols before 3 write them."""
    if isinstance(value, str) and isinstance(encoding, str) and re.fullmatch(r"latin-?1", encoding):
        return value.encode("latin-1")
    if isinstance(value, bytes | bytearray | list | tuple):
        return bytes(value)
    raise TypeError


def _byte_array(value: object = b"", encoding: object = "latin-1") -> bytearray:
    return bytearray(_bytes(value, encoding))


def _complex(real: float, imaginary: float = 0.0) -> complex:
    return complex(real, imaginary)


_SIZED = (str, bytes, bytearray, list, tuple, dict, set, frozenset)
_BUILDERS: dict[str, Callable[..., object]] = {
    "builtins.dict": dictionary,
    "collections.OrderedDict": dictionary,
    "collections.Counter": dictionary,
    "collections.defaultdict": _default_dictionary,
    "builtins.set": unique,
    "builtins.frozenset": lambda items=(): frozenset(unique(items)),
    "builtins.list": lambda items=(): [*_listed(items)],
    "builtins.tuple": lambda items=(): (*_listed(items),),
    "torch.Size": lambda items=(): (*_listed(items),),
    "builtins.bytes": _bytes,
    "builtins.bytearray": _byte_array,
    "_codecs.encode": _bytes,
    "builtins.complex": _complex,
}
