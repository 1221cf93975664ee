"""Networks on another device than their callers' tensors, which lie in memory.

Weights are put there when they are loaded. The calls of a network take their tensors there and bring the results back,
so that nobody else needs to know: states come from the store and go back to it.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from service.domain.errors import SettingsError
from service.domain.operations import ComputeDtype, Device

#: The calls of all networks that compute something; the others make or pick tensors in memory.
CALLS = ("step", "sequence", "encode", "logits", "score", "contexts", "parameters_of")


def require_device(device: Device, dtype: ComputeDtype | None) -> None:
    """Raise SettingsError where networks cannot run on `device` in this arithmetic."""
    if device == "cpu":
        return
    if not torch.cuda.is_available():
        raise SettingsError(
            f"device is cuda: PyTorch {torch.__version__} finds none, expected cpu, or a GPU with its driver and a "
            "build of PyTorch for it"
        )
    if dtype == "int8":
        raise SettingsError("dtype is int8 on the device cuda: expected float32 or bfloat16, int8 is for processors")


def wrap_for_device(network: nn.Module, device: torch.device) -> None:
    """Have the calls of a network whose weights lie on `device` take tensors in memory and return such."""
    for name in CALLS:
        if hasattr(network, name):
            setattr(network, name, _wrapped(getattr(network, name), device))


def _wrapped(call: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
    memory = torch.device("cpu")

    def carried(*arguments: Any) -> Any:  # noqa: ANN401 as the call itself has it
        return _moved(call(*_moved(arguments, device)), memory)

    return carried


def _moved(value: Any, device: torch.device) -> Any:  # noqa: ANN401 likewise
    """Return tensors, and tuples and dictionaries of them, on `device`; anything else as it is."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {name: _moved(part, device) for name, part in value.items()}
    if isinstance(value, tuple):
        parts = [_moved(part, device) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value
