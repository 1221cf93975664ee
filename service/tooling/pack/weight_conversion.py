"""Conversion of a checkpoint's tensors to the form of a model folder, which leaves the network's results unchanged.

The end of a name can ask for a conversion: `attention.weight.T` is transposed, and `combine.weight.swapped` reads
decoder output before context, so its columns are swapped.
"""

from pathlib import Path

import torch
from torch import Tensor

from service.domain.errors import ModelFolderError
from service.nets.config.architecture_config import ArchitectureConfig
from service.nets.config.encoder_decoder_config import EncoderDecoderConfig
from service.nets.config.language_model_config import LanguageModelConfig

#: Biases that add the same to the score of every source position, which does not change the softmax.
CONSTANT_BIASES = ("attention.bias", "attention.score.bias")


def convert(
    source: Path, tensors: dict[str, Tensor], config: ArchitectureConfig
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors converted for `config`, and notes on the changes. Raises ModelFolderError."""
    tensors, notes = dict(tensors), list[str]()
    _transpose(source, tensors, notes)
    if isinstance(config, EncoderDecoderConfig):
        _share_embedding(tensors, notes)
        _swap_combine(source, tensors, notes, config)
        if config.attention is not None:
            _fold_attention_biases(tensors, notes)
        if config.decoder.tie_weights:
            _drop_tied_output(source, tensors, notes, "decoder.embedding.weight")
    elif isinstance(config, LanguageModelConfig) and config.tie_weights:
        _drop_tied_output(source, tensors, notes, "embedding.weight")
    return tensors, notes


def _transpose(source: Path, tensors: dict[str, Tensor], notes: list[str]) -> None:
    for name in [name for name in tensors if name.endswith(".T")]:
        tensor, plain = tensors.pop(name), name.removesuffix(".T")
        if tensor.dim() != 2 or plain in tensors:
            found = f"{tensor.dim()} dimensions" if tensor.dim() != 2 else f"{plain} too"
            raise ModelFolderError(f"{source}: {name}: found {found}, expected one matrix to transpose")
        tensors[plain] = tensor.T.contiguous()
        notes.append(f"{plain} is written transposed")


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
    query = config.decoder.layout().output_size()
    if weight.dim() != 2 or weight.shape[1] != config.context_size or not config.attention:
        expected = f"{config.context_size} columns, decoder output and context"
        raise ModelFolderError(f"{source}: combine.weight.swapped: found shape {[*weight.shape]}, expected {expected}")
    tensors["combine.weight"] = torch.cat([weight[:, query:], weight[:, :query]], 1)
    notes.append("combine.weight is written with its columns changed: context first, then decoder output")


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


def _drop_tied_output(source: Path, tensors: dict[str, Tensor], notes: list[str], table: str) -> None:
    if "output.weight" not in tensors or table not in tensors:
        return
    if not torch.equal(tensors.pop("output.weight"), tensors[table]):
        raise ModelFolderError(
            f"{source}: output.weight: found other values than in {table}, expected equal ones, since tie_weights is "
            "true"
        )
    notes.append(f"output.weight is left out: it is {table} (tie_weights)")
