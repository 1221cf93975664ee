"""The networks of the files in tests/data/networks, computed by PyTorch from the tensors that a reader returns."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

FOLDER = Path(__file__).parents[3] / "data" / "networks"
EXPECTED = load_file(FOLDER / "expected.safetensors")


def load(module: nn.Module, tensors: dict[str, Tensor], name: str) -> nn.Module:
    """Fill a module with the tensors of a part."""
    own = {key.removeprefix(f"{name}."): tensor for key, tensor in tensors.items() if key.startswith(name)}
    module.load_state_dict(own)
    return module


def language_model(tensors: dict[str, Tensor], ids: Tensor) -> Tensor:
    """Return the logits of the language model that several files hold."""
    embedding = load(nn.Embedding(40, 16), tensors, "embedding")
    lstm, output = load(nn.LSTM(16, 24, 2, batch_first=True), tensors, "lstm"), load(nn.Linear(24, 40), tensors, "fc")
    with torch.no_grad():
        logits: Tensor = output(lstm(embedding(ids))[0])
    return logits
