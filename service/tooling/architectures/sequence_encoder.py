"""Offline tools of sequence encoders."""

import json
from pathlib import Path

import torch
from torch import Tensor

from service.nets.config.sequence_encoder_config import SequenceEncoderConfig
from service.tooling.architectures.sequences import SequenceTools
from service.tooling.inspect.inventory import Inventory, Proposal
from service.tooling.inspect.proposals.sequence_encoder import looks_like_encoder, propose_sequence_encoder

#: The output layer of two labels, of which a trainer may have kept the difference of the logits alone.
OUTPUT = ("output.weight", "output.bias")


class SequenceEncoderTools(SequenceTools[SequenceEncoderConfig]):
    """Tools of sequence encoders, which read text with a tokenizer or numbers with a preprocessor."""

    def recognizes(self, parts: Inventory) -> bool:
        return looks_like_encoder(parts)

    def describe(self, parts: Inventory) -> str:
        if not parts.embeddings:
            return "classification, tagging, regression or embedding of rows of numbers"
        return "classification, tagging or embedding of text"

    def propose(self, parts: Inventory) -> Proposal:
        return propose_sequence_encoder(parts)

    def accepts(self, parts: Inventory) -> bool:
        return len(parts.groups) == 1 and len(parts.embeddings) <= 1

    def propose_task(self, parts: Inventory, task: str) -> Proposal:
        return propose_sequence_encoder(parts, task)

    def convert(self, source: Path, tensors: dict[str, Tensor], config: SequenceEncoderConfig) -> list[str]:
        """Write the one logit of two labels as two, and an output layer that the checkpoint lacks as the identity."""
        if config.output_size == config.features_size and not {*OUTPUT} & tensors.keys():
            tensors |= {"output.weight": torch.eye(config.output_size), "output.bias": torch.zeros(config.output_size)}
            return ["output is written as the identity: the checkpoint has no layer behind the head"]
        if config.multi_label or len(config.labels) != 2 or config.crf or not _has_one_output(tensors):
            return []
        for name in OUTPUT:
            if name in tensors:
                tensors[name] = torch.cat([torch.zeros_like(tensors[name]), tensors[name]])
        first, second = config.labels
        return [f"output is written as two logits: one is 0 for {first!r}, the checkpoint's is that of {second!r}"]

    def explain_shape(self, name: str, config: SequenceEncoderConfig) -> str:
        if name not in OUTPUT or not config.output_size:
            return ""
        entries = config.labels or config.names
        return f": {len(entries)} {'labels' if config.labels else 'names'} ({json.dumps(entries)[:200]})"


def _has_one_output(tensors: dict[str, Tensor]) -> bool:
    weight = tensors.get(OUTPUT[0])
    return weight is not None and weight.dim() == 2 and len(weight) == 1
