"""Names that dropout of weights leaves in AWD-LSTMs, as those of fastai and Salesforce."""

import re
from dataclasses import replace

import torch
from torch import Tensor

from service.tooling.formats.network import SavedNetwork

_RAW = re.compile(r"^(.*?)((?:module\.)?)weight_hh_l(\d+(?:_reverse)?)_raw$")
#: How the embedding is called a second time, and its first name.
_AGAIN = (("encoder_dp.emb.weight", "encoder.weight"), ("encoder_with_dropout.embed.weight", "encoder.weight"))
_NOTE = "weights with dropout in training (AWD-LSTM): those without dropout, which end in `_raw`, are read"


def without_weight_dropout(network: SavedNetwork) -> SavedNetwork:
    """Return the network with the weights that dropout acts on in training, and each embedding once."""
    raw = {name: match for name in network.tensors if (match := _RAW.match(name))}
    if not raw:
        return network
    tensors = dict(network.tensors)
    for name, match in raw.items():
        # What stands under the plain name is left of the last batch.
        tensors[_plain_name(match, network.tensors)] = tensors.pop(name)
    for again, first in _AGAIN:
        tensors = {name: tensor for name, tensor in tensors.items() if not _is_copy(name, again, first, tensors)}
    return replace(network, tensors=tensors, notes=(*network.notes, _NOTE))


def _plain_name(match: re.Match[str], tensors: dict[str, Tensor]) -> str:
    """Return the name beside the other weights of the layer, which the wrapper holds as its `module`."""
    prefix, module, layer = match.groups()
    inside = module or ("module." if f"{prefix}module.weight_ih_l{layer}" in tensors else "")
    return f"{prefix}{inside}weight_hh_l{layer}"


def _is_copy(name: str, again: str, first: str, tensors: dict[str, Tensor]) -> bool:
    other = tensors.get(f"{name.removesuffix(again)}{first}")
    return name.endswith(again) and other is not None and torch.equal(tensors[name], other)
