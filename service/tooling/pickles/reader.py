"""Interpreter of pickles. It follows the instructions of all protocols, and imports and calls nothing.

The result is made of plain values and of inert records: Global for a name that is imported, Instance for an object that
is made by a call, Reference for a value outside of the pickle. So no file can run code, whatever its instructions are.
"""

import pickletools
import warnings
from collections.abc import Callable
from typing import IO, Any, BinaryIO, cast

from service.tooling.pickles.budget import BoundedReader, PickleBudget
from service.tooling.pickles.construction import call, dictionary, global_of, require_key, unique
from service.tooling.pickles.values import Global, Instance, Mentions, PickleError, Reference

_Step = Callable[["_Machine", Any], None]
#: Returns what stands for an object behind which further bytes follow, read from the file, or the object itself.
Following = Callable[[Instance, BoundedReader], object]
#: What pickletools and the instructions below raise for a pickle that is damaged.
_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, EOFError, RecursionError)


def read_pickle(
    file: BinaryIO, budget: PickleBudget, mentions: Mentions | None = None, following: Following | None = None
) -> object:
    """Return the value of the pickle at the position of a file, and stop behind it.

    What it imports and refers to is added to `mentions`. `following` is for files that have bytes between the
    instructions: it is asked after each object that got a state. Raises PickleError for a damaged pickle, one of more
    than `budget`, and an unknown instruction.
    """
    machine = _Machine(budget, Mentions() if mentions is None else mentions, following)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of unusual escapes in texts of the oldest protocol
        return _run(machine, file)


def _run(machine: "_Machine", file: BinaryIO) -> object:
    """Follow the instructions of a pickle, and return its value. Raises PickleError."""
    budget = machine.budget
    reader = BoundedReader(budget, file)
    try:
        for opcode, argument, _ in pickletools.genops(cast("IO[bytes]", reader)):
            budget.count_work()
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, argument)
            if opcode.name == "BUILD" and machine.following is not None and isinstance(machine.stack[-1], Instance):
                machine.stack[-1] = machine.following(machine.stack[-1], reader)
    except _DAMAGE as error:
        raise PickleError(f"a damaged pickle ({_reason(error)})") from error
    raise PickleError("a pickle without an end")


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:100]


class _Machine:
    """Stack and memo of an unpickler."""

    def __init__(self, budget: PickleBudget, mentions: Mentions, following: Following | None) -> None:
        self.budget = budget
        self.mentions = mentions
        self.following = following
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:  # noqa: ANN401 - as genops yields it
        """Follow an instruction."""
        if name in _PUSHED:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        else:
            step = _STEPS.get(name)
            if step is None:
                raise PickleError(f"a pickle with the instruction {name}")
            step(self, argument)

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop(self) -> Any:  # noqa: ANN401 - any value
        return self.stack.pop()

    def pop_mark(self) -> list[Any]:
        """Return the values above the last mark."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def extend(self, items: list[Any]) -> None:
        """Append to the list, or add to the set, on top of the stack."""
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif isinstance(target, set):
            target.update(unique(items))
        else:
            _instance(target).items.extend(items)

    def set_items(self, items: list[Any]) -> None:
        """Set keys to values in the dictionary on top of the stack."""
        target = self.stack[-1]
        entries = target if isinstance(target, dict) else _instance(target).entries
        for key, value in zip(items[::2], items[1::2], strict=True):
            require_key(key)
            entries[key] = value


def _instance(value: object) -> Instance:
    if not isinstance(value, Instance):
        raise PickleError(f"a damaged pickle (a {type(value).__name__} that is changed)")
    return value


def _mark(machine: _Machine, _: object) -> None:
    machine.marks.append(machine.stack)
    machine.stack = []


def _pop(machine: _Machine, _: object) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.pop_mark()


def _put(machine: _Machine, index: int | None) -> None:
    machine.memo[len(machine.memo) if index is None else index] = machine.stack[-1]


def _tuple(count: int) -> _Step:
    def step(machine: _Machine, _: object) -> None:
        if len(machine.stack) < count:
            raise PickleError("a damaged pickle (the stack is empty)")
        machine.stack[-count:] = [tuple(machine.stack[-count:])]

    return step


def _stack_global(machine: _Machine, _: object) -> None:
    name, module = machine.pop(), machine.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise PickleError("a damaged pickle (a name that is no text)")
    machine.push(_mention(machine, module, name))


def _mention(machine: _Machine, module: str, name: str) -> Global:
    mentioned = global_of(module, name)
    machine.mentions.globals[mentioned.name] = None
    return mentioned


def _global(machine: _Machine, argument: str) -> None:
    module, _, name = argument.partition(" ")
    machine.push(_mention(machine, module, name))


def _build(machine: _Machine, _: object) -> None:
    state = machine.pop()
    target = machine.stack[-1]
    if isinstance(target, Instance):
        target.state = state
    # The attributes of a dictionary, such as the versions of a state dict, are of no use here.


def _call(machine: _Machine, _: object) -> None:
    arguments, function = machine.pop(), machine.pop()
    machine.push(call(machine.budget, function, arguments))


def _call_with_keywords(machine: _Machine, _: object) -> None:
    keywords, arguments, function = machine.pop(), machine.pop(), machine.pop()
    machine.push(call(machine.budget, function, arguments, keywords))


def _object(machine: _Machine, _: object) -> None:
    function, *arguments = machine.pop_mark()
    machine.push(call(machine.budget, function, tuple(arguments)))


def _named_object(machine: _Machine, argument: str) -> None:
    module, _, name = argument.partition(" ")
    machine.push(call(machine.budget, _mention(machine, module, name), tuple(machine.pop_mark())))


def _append(machine: _Machine, _: object) -> None:
    item = machine.pop()
    machine.extend([item])


def _set_item(machine: _Machine, _: object) -> None:
    value, key = machine.pop(), machine.pop()
    machine.set_items([key, value])


def _dictionary(machine: _Machine, _: object) -> None:
    items = machine.pop_mark()
    machine.push(dictionary([*zip(items[::2], items[1::2], strict=True)]))


_NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT")
_TEXTS = ("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
_BYTES = ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8")
_PUSHED = frozenset((*_NUMBERS, *_TEXTS, *_BYTES))
_CONSTANTS: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}


def _reference(machine: _Machine, key: object) -> None:
    reference = Reference(key)
    machine.mentions.references.append(reference)
    machine.push(reference)


def _nothing(machine: _Machine, _: object) -> None:
    """Do nothing, as for the protocol's version."""


_STEPS: dict[str, _Step] = {
    "PROTO": _nothing,
    "FRAME": _nothing,
    "MARK": _mark,
    "POP": _pop,
    "POP_MARK": lambda machine, _: machine.pop_mark().clear(),
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    "PUT": _put,
    "BINPUT": _put,
    "LONG_BINPUT": _put,
    "MEMOIZE": _put,
    "GET": lambda machine, index: machine.push(machine.memo[index]),
    "BINGET": lambda machine, index: machine.push(machine.memo[index]),
    "LONG_BINGET": lambda machine, index: machine.push(machine.memo[index]),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_mark())),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "LIST": lambda machine, _: machine.push(machine.pop_mark()),
    "DICT": _dictionary,
    "FROZENSET": lambda machine, _: machine.push(frozenset(unique(machine.pop_mark()))),
    "APPEND": _append,
    "APPENDS": lambda machine, _: machine.extend(machine.pop_mark()),
    "ADDITEMS": lambda machine, _: machine.extend(machine.pop_mark()),
    "SETITEM": _set_item,
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_mark()),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _call,
    "NEWOBJ": _call,
    "NEWOBJ_EX": _call_with_keywords,
    "OBJ": _object,
    "INST": _named_object,
    "BUILD": _build,
    "PERSID": _reference,
    "BINPERSID": lambda machine, _: _reference(machine, machine.pop()),
}
