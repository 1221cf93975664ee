"""Linear layers in float32 whose weights are packed once: x (..., I) -> x W^T + b (..., O)."""

import torch
from torch import Tensor
from torch.nn import functional as F

#: Smaller weights are not packed for oneDNN, whose calls have an overhead of 50 microseconds.
MIN_PACKED_SIZE = 2**20


def pack_float32(weight: Tensor, bias: Tensor | None) -> "Float32Linear":
    """Pack a weight (O, I) and its bias (O,) for products in float32."""
    one_dnn = weight.device.type == "cpu" and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return OneDnnLinear(weight, bias) if one_dnn and weight.numel() >= MIN_PACKED_SIZE else Float32Linear(weight, bias)


class Float32Linear:
    """float32 by `F.linear`, with the weight stored as (I, O), the order that it reads fastest."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight, self._bias = weight.T.contiguous().T, bias

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self._bias)

    def addmm(self, base: Tensor, x: Tensor) -> Tensor:
        return torch.addmm(base, x, self.weight.T)

    def slice_inputs(self, start: int, stop: int | None, bias: Tensor | None) -> "Float32Linear":
        """Return the product of the inputs `start` to `stop` alone; it shares the weight."""
        return Float32Linear(self.weight[:, start:stop], bias)


class OneDnnLinear(Float32Linear):
    """float32 by oneDNN. Single rows, whose time is that of reading the weight, use `F.linear`."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight, bias)
        self._packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight)

    def __call__(self, x: Tensor) -> Tensor:
        if x.shape[:-1].numel() == 1:
            return super().__call__(x)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, self._bias, "none", [], "")
        return product

    def addmm(self, base: Tensor, x: Tensor) -> Tensor:
        if len(x) == 1:
            return super().addmm(base, x)
        sums: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, base, self._packed, None, "add")
        return sums
