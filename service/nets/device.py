"""Networks on another device than the tensors of their callers, which are on the CPU.

Weights are moved to the device when they are loaded. The methods of a wrapped network move their arguments to the
device and their results back to the CPU, since states are read from the store and written to it.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from service.domain.errors import SettingsError
from service.domain.operations import ComputeDtype, Device


def require_device(device: Device, dtype: ComputeDtype | None) -> None:
    """Check that networks can run on `device` in `dtype`. Raises SettingsError."""
    if device == "cpu":
        return
    if not torch.cuda.is_available():
        raise SettingsError(
            f"device is cuda: PyTorch {torch.__version__} finds none, expected cpu, or a GPU with its driver and a "
            "build of PyTorch for it"
        )
    if dtype == "int8":
        raise SettingsError("dtype is int8 on the device cuda: expected float32 or bfloat16, int8 is for processors")


def wrap_for_device(network: nn.Module, device: torch.device, methods: Iterable[str]) -> None:
    """Wrap the named methods of a network on `device`: arguments move to the device, results to the CPU."""
    for name in methods:
        setattr(network, name, _wrapped(getattr(network, name), device))


def _wrapped(method: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
    cpu = torch.device("cpu")

    def call_on_device(*arguments: Any) -> Any:  # noqa: ANN401 as the method itself has it
        return _moved(method(*_moved(arguments, device)), cpu)

    return call_on_device


def _moved(value: Any, device: torch.device) -> Any:  # noqa: ANN401 likewise
    """Return tensors, and tuples and dictionaries of them, on `device`; return other values unchanged."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {name: _moved(part, device) for name, part in value.items()}
    if isinstance(value, tuple):
        parts = [_moved(part, device) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value
