"""Validated access to the tensors of an imported session state.

A state that passes these checks also passes those of a stored state, so that a session can continue from it.
"""

from collections.abc import Callable, Mapping

from torch import Tensor

from service.domain.errors import InvalidRequest
from service.model_folder.safetensors_io import StoredTensor

#: Far beyond any state that a network reaches by itself; squares and products of such numbers still fit a float32.
MAX_ABS = 1e12
DTYPES = {
    "F32": "float32", "F64": "float64", "F16": "float16", "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
CODES = {name: code for code, name in DTYPES.items()}


class ImportedTensors:
    """The tensors of an imported state by name. Each is taken once; `reject_remaining` refuses the others."""

    def __init__(self, tensors: Mapping[str, StoredTensor]) -> None:
        self._remaining = dict(tensors)

    def __contains__(self, name: str) -> bool:
        return name in self._remaining

    def take_floats(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Return a float32 tensor of finite numbers, each at most MAX_ABS in magnitude.

        Raises InvalidRequest if the tensor is missing, or has another dtype, shape or number.
        """
        return self.take(name, "float32", shape)

    def take(self, name: str, dtype: str, shape: tuple[int, ...]) -> Tensor:
        """Return a tensor of any of DTYPES; floats are finite and at most MAX_ABS in magnitude.

        Raises InvalidRequest if the tensor is missing, or has another dtype, shape or number.
        """
        tensor = self._take(name, CODES[dtype], lambda stored: stored == shape, str([*shape]))
        if not tensor.is_floating_point():
            return tensor
        # Written so that NaN is refused too.
        _require(name, tensor, tensor.abs() <= MAX_ABS, f"finite numbers of at most {MAX_ABS:g}")
        return tensor

    def take_whole(self, name: str, shape: tuple[int, ...], maximum: int) -> Tensor:
        """Return a float32 tensor of whole numbers from 0 to `maximum`. Raises as `take_floats`."""
        tensor = self.take_floats(name, shape)
        valid = (tensor >= 0) & (tensor <= maximum) & (tensor == tensor.floor())
        _require(name, tensor, valid, f"whole numbers from 0 to {maximum}")
        return tensor

    def take_int(self, name: str, minimum: int, maximum: int) -> int:
        """Return the integer, from `minimum` to `maximum`, of an int64 tensor without dimensions.

        Raises InvalidRequest if the tensor is missing, or has another dtype, shape or range.
        """
        number = int(self._take(name, "I64", lambda stored: stored == (), "[]").item())
        if not minimum <= number <= maximum:
            raise _refusal(name, f"is {number}", f"{minimum} to {maximum}")
        return number

    def take_ids(self, name: str, max_length: int, vocab_size: int) -> tuple[int, ...]:
        """Return the token ids, 1 to `max_length` of them, of an int64 tensor of one dimension.

        Raises InvalidRequest if the tensor is missing, has another dtype or shape, or an id outside the vocabulary.
        """
        tensor = self._take(
            name, "I64", lambda stored: len(stored) == 1 and 1 <= stored[0] <= max_length, f"[1 to {max_length}]"
        )
        ids: list[int] = tensor.tolist()
        for position, index in enumerate(ids):
            if not 0 <= index < vocab_size:
                raise _refusal(name, f"holds {index} at {position}", f"ids of the vocabulary, 0 to {vocab_size - 1}")
        return tuple(ids)

    def reject_remaining(self) -> None:
        """Raise InvalidRequest if a tensor was not taken, since it is no part of the state."""
        for name in sorted(self._remaining):
            raise _refusal(name, "belongs to no state of this model", "it to be left out")

    def _take(self, name: str, dtype: str, fits: Callable[[tuple[int, ...]], bool], shape: str) -> Tensor:
        expected = f"{DTYPES[dtype]} of shape {shape}"
        stored = self._remaining.pop(name, None)
        if stored is None:
            raise _refusal(name, "is missing", expected)
        if stored.dtype != dtype or not fits(stored.shape):
            actual = DTYPES.get(stored.dtype, stored.dtype)
            raise _refusal(name, f"is {actual} of shape {str([*stored.shape])[:80]}", expected)
        return stored.tensor()


def _require(name: str, tensor: Tensor, valid: Tensor, expected: str) -> None:
    """Raise InvalidRequest if a number of a tensor is not valid."""
    invalid = (~valid).flatten().nonzero().flatten().tolist()
    if invalid:
        number = tensor.flatten()[invalid[0]].item()
        raise _refusal(name, f"holds {number:g} at {invalid[0]}", expected)


def _refusal(name: str, problem: str, expected: str) -> InvalidRequest:
    field = f"tensors.{name[:80]}"
    return InvalidRequest(f"{field} {problem}: expected {expected}", param=field)
