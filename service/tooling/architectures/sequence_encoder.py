"""Offline tools of sequence encoders."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from service.domain.errors import InvalidRequest
from service.domain.operations import Predict, SeriesInput, TextInput
from service.nets.config.sections import TOKENIZER_FILE
from service.nets.config.sequence_encoder_config import SequenceEncoderConfig
from service.tasks.base import AnyTask
from service.tooling.architecture_tools import ArchitectureTools
from service.tooling.architectures.numbers import (
    check_numeric_companions,
    example_rows,
    read_observations,
    write_preprocessor,
)
from service.tooling.architectures.text import (
    check_text_companions,
    example_text,
    read_text,
    with_special_tokens,
    write_word_tokenizer,
)
from service.tooling.inspect.inventory import Inventory, Proposal
from service.tooling.inspect.proposals.sequence_encoder import looks_like_encoder, propose_sequence_encoder
from service.tooling.pack.companion_files import CompanionFiles, copy_tokenizers
from service.tooling.predict.arguments import PredictionArguments
from service.tooling.verify.label_quality import LabelAccuracy

#: The output layer of two labels, of which a trainer may have kept the difference of the logits alone.
OUTPUT = ("output.weight", "output.bias")


class SequenceEncoderTools(ArchitectureTools[SequenceEncoderConfig]):
    """Tools of sequence encoders, which read text with a tokenizer or numbers with a preprocessor."""

    #: Whether a begin token is fed is stated by the user.
    vocabulary_roles = ("unknown", "pad")

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

    def complete(self, raw: dict[str, Any], files: CompanionFiles) -> dict[str, Any]:
        return with_special_tokens(raw, files)

    def check_companions(self, target: Path, config: SequenceEncoderConfig, files: CompanionFiles) -> None:
        if config.reads_text:
            check_text_companions(target, config, files)
        else:
            check_numeric_companions(target, files, "the network")

    def write_companions(self, folder: Path, config: SequenceEncoderConfig, files: CompanionFiles) -> None:
        if config.vocab_size is None:
            write_preprocessor(folder, config.features, None, files)
        elif files.tokenizer is not None:
            copy_tokenizers(files.tokenizer, folder, config.companion_files)
        else:
            write_word_tokenizer(folder / TOKENIZER_FILE, config.vocab_size, config.special_tokens, files)

    def convert(self, source: Path, tensors: dict[str, Tensor], config: SequenceEncoderConfig) -> list[str]:
        """Write the one logit of two labels as two."""
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

    def example(self, folder: Path, config: SequenceEncoderConfig) -> dict[str, Any]:
        if config.reads_text:
            return example_text(folder / TOKENIZER_FILE)
        return {"values": example_rows(folder, config.features)}

    def metric(self, data: Path, task: AnyTask) -> LabelAccuracy:
        return LabelAccuracy(data)

    def read_input(
        self, model: str, config: SequenceEncoderConfig, arguments: PredictionArguments
    ) -> TextInput | SeriesInput:
        if config.reads_text:
            return read_text(model, arguments)
        if arguments.future is not None:
            raise InvalidRequest(f"--future is {arguments.future}: expected none, since {model} reads values alone")
        series = read_observations(model, config.features, arguments)
        return SeriesInput(series.values, series.flat)

    def render(self, config: SequenceEncoderConfig, operation: Predict, output: dict[str, Any]) -> str:
        return "\n".join(_lines(output))


def _has_one_output(tensors: dict[str, Tensor]) -> bool:
    weight = tensors.get(OUTPUT[0])
    return weight is not None and weight.dim() == 2 and len(weight) == 1


def _lines(output: dict[str, Any]) -> list[str]:
    """Return an answer as lines: labels, tags, rows of numbers, or vectors."""
    if "labels" in output:
        return [f"{entry['probability']:.4f}  {entry['label']}" for entry in output["labels"]]
    if "tags" in output:
        return ["\t".join([*tag.get("token", "").split("\n"), tag["tag"]]).strip() for tag in output["tags"]]
    if "values" in output:
        return ["\t".join(output["names"]), *("\t".join(f"{value:.7g}" for value in row) for row in output["values"])]
    (vectors,) = output.values()
    return [json.dumps(row) for row in (vectors if isinstance(vectors[0], list) else [vectors])]
