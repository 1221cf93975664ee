"""Codes of dtypes and durability levels in records. Codes are never reused."""

from service.domain.errors import StateCorrupted
from service.domain.sessions import Durability

_DTYPES = {"float32": 1, "bfloat16": 2, "float16": 3, "float64": 4, "int8": 5}
_DTYPE_NAMES = {code: name for name, code in _DTYPES.items()}
_DURABILITIES: tuple[Durability, ...] = ("memory", "replicated", "fsynced")


def dtype_code(name: str) -> int:
    """Return the code of a dtype. Raises ValueError for one that records do not support."""
    if name not in _DTYPES:
        raise ValueError(f"dtype {name!r} is none of {', '.join(_DTYPES)}")
    return _DTYPES[name]


def dtype_name(code: int) -> str:
    """Return the dtype of a code. Raises StateCorrupted for an unknown one."""
    if code not in _DTYPE_NAMES:
        raise StateCorrupted(f"session record has dtype code {code}, expected 1 to {len(_DTYPES)}")
    return _DTYPE_NAMES[code]


def durability_code(durability: Durability) -> int:
    """Return the code of a durability level. Raises ValueError for an unknown one."""
    return _DURABILITIES.index(durability)


def durability_of(code: int) -> Durability:
    """Return the durability level of a code. Raises StateCorrupted for an unknown one."""
    if code >= len(_DURABILITIES):
        raise StateCorrupted(f"session record has durability code {code}, expected 0 to {len(_DURABILITIES) - 1}")
    return _DURABILITIES[code]
