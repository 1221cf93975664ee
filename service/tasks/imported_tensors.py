"""The tensors of an imported state, taken by name: whatever does not fit is refused.

What fits can be stepped from without an error: every check that a stored state would fail is made here.
"""

from collections.abc import Callable, Mapping

from torch import Tensor

from service.domain.errors import InvalidRequest
from service.model_folder.safetensors_io import StoredTensor

#: Far beyond any state that a network comes to by itself; its squares and products still fit a float32.
MAX_ABS = 1e12
DTYPES = {"F32": "float32", "I64": "int64"}


class ImportedTensors:
    """Tensors by name. Each is taken once; `finish` refuses those that nobody took."""

    def __init__(self, tensors: Mapping[str, StoredTensor]) -> None:
        self._left = dict(tensors)

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def numbers(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Return a float32 tensor of finite numbers."""
        tensor = self._take(name, "F32", lambda found: found == shape, str([*shape]))
        # Written so that NaN is refused too.
        wrong = (~(tensor.abs() <= MAX_ABS)).flatten().nonzero().flatten().tolist()
        if wrong:
            found = tensor.flatten()[wrong[0]].item()
            raise _refusal(name, f"holds {found:g} at {wrong[0]}", f"finite numbers of at most {MAX_ABS:g}")
        return tensor

    def integer(self, name: str, least: int, most: int) -> int:
        """Return a whole number, an int64 tensor without dimensions."""
        found = int(self._take(name, "I64", lambda found: found == (), "[]").item())
        if not least <= found <= most:
            raise _refusal(name, f"is {found}", f"{least} to {most}")
        return found

    def ids(self, name: str, longest: int, vocabulary: int) -> tuple[int, ...]:
        """Return one to `longest` ids, an int64 tensor of one dimension."""
        tensor = self._take(
            name, "I64", lambda found: len(found) == 1 and 1 <= found[0] <= longest, f"[1 to {longest}]"
        )
        found: list[int] = tensor.tolist()
        for at, index in enumerate(found):
            if not 0 <= index < vocabulary:
                raise _refusal(name, f"holds {index} at {at}", f"ids of the vocabulary, 0 to {vocabulary - 1}")
        return tuple(found)

    def finish(self) -> None:
        """Refuse what is left over."""
        for name in sorted(self._left):
            raise _refusal(name, "belongs to no state of this model", "it to be left out")

    def _take(self, name: str, dtype: str, fits: Callable[[tuple[int, ...]], bool], shape: str) -> Tensor:
        wanted = f"{DTYPES[dtype]} of shape {shape}"
        stored = self._left.pop(name, None)
        if stored is None:
            raise _refusal(name, "is missing", wanted)
        if stored.dtype != dtype or not fits(stored.shape):
            found = DTYPES.get(stored.dtype, stored.dtype)
            raise _refusal(name, f"is {found} of shape {str([*stored.shape])[:80]}", wanted)
        return stored.tensor()


def _refusal(name: str, found: str, expected: str) -> InvalidRequest:
    field = f"tensors.{name[:80]}"
    return InvalidRequest(f"{field} {found}: expected {expected}", param=field)
