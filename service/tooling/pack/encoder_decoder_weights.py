"""Conversions of an encoder-decoder's tensors that leave the network's results unchanged.

The name `combine.weight.swapped` is that of a layer that reads decoder output before context; its columns are swapped.
"""

from pathlib import Path

import torch
from torch import Tensor

from service.domain.errors import ModelFolderError
from service.nets.config.encoder_decoder_config import EncoderDecoderConfig
from service.tooling.pack.weight_conversion import drop_tied_output

#: Biases that add the same to the score of every source position, which does not change the softmax.
CONSTANT_BIASES = ("attention.bias", "attention.score.bias")


def convert_encoder_decoder(source: Path, tensors: dict[str, Tensor], config: EncoderDecoderConfig) -> list[str]:
    """Convert the tensors in place, and return notes. Raises ModelFolderError."""
    notes: list[str] = []
    _share_embedding(tensors, notes)
    _swap_combine(source, tensors, notes, config)
    if config.attention not in {None, "fixed"}:
        _split_combined(source, tensors, notes, config)
        _fold_attention_biases(tensors, notes)
    if config.decoder.tie_weights:
        notes += drop_tied_output(source, tensors, "decoder.embedding.weight")
    return notes


def _share_embedding(tensors: dict[str, Tensor], notes: list[str]) -> None:
    own = [f"{side}.embedding.weight" for side in ("encoder", "decoder")]
    if "embedding.weight" in tensors and not any(name in tensors for name in own):
        shared = tensors.pop("embedding.weight")
        tensors |= {name: shared.clone() for name in own}
        notes.append("embedding.weight is written for both sides")


def _swap_combine(source: Path, tensors: dict[str, Tensor], notes: list[str], config: EncoderDecoderConfig) -> None:
    weight = tensors.pop("combine.weight.swapped", None)
    if weight is None:
        return
    query = config.decoder.rnn_spec().output_size()
    if weight.dim() != 2 or weight.shape[1] != config.context_size or config.readout_parts != ("context", "output"):
        expected = f"{config.context_size} columns, decoder output and context"
        raise ModelFolderError(f"{source}: combine.weight.swapped: found shape {[*weight.shape]}, expected {expected}")
    tensors["combine.weight"] = torch.cat([weight[:, query:], weight[:, :query]], 1)
    notes.append("combine.weight is written with its columns changed: context first, then decoder output")


def _split_combined(source: Path, tensors: dict[str, Tensor], notes: list[str], config: EncoderDecoderConfig) -> None:
    """Split a layer over [decoder state; memory] into the two of an additive attention."""
    weight = tensors.pop("attention.combined.weight", None)
    if weight is None:
        return
    query, memory = config.query_size, config.memory_size
    if config.attention != "additive" or weight.shape != (query, query + memory):
        expected = f"[{query}, {query + memory}] of an additive attention"
        raise ModelFolderError(
            f"{source}: attention.combined.weight: found shape {[*weight.shape]}, expected {expected}"
        )
    names = ("attention.query.weight", "attention.memory.weight")
    tensors |= dict(zip(names, (part.contiguous() for part in torch.split(weight, [query, memory], 1)), strict=True))
    if "attention.combined.bias" in tensors:
        tensors["attention.query.bias"] = tensors.pop("attention.combined.bias")
    notes.append("attention.combined is written as attention.query and attention.memory")


def _fold_attention_biases(tensors: dict[str, Tensor], notes: list[str]) -> None:
    dropped = [name for name in CONSTANT_BIASES if tensors.pop(name, None) is not None]
    notes += [f"{name} is left out: it adds the same to every source position" for name in dropped]
    query, memory = tensors.get("attention.query.bias"), tensors.get("attention.memory.bias")
    if memory is not None and (query is None or query.shape == memory.shape):
        tensors["attention.query.bias"] = tensors.pop("attention.memory.bias") + (0 if query is None else query)
        notes.append("attention.memory.bias is added to attention.query.bias: the score sees their sum only")
    score = tensors.get("attention.score.weight")
    if score is not None and score.dim() == 1:
        tensors["attention.score.weight"] = score[None]
        notes.append("attention.score.weight is written as a row")
