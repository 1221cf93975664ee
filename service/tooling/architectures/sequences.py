"""Offline tools that the architectures of labels and numbers of sequences share."""

import json
from pathlib import Path
from typing import Any, TypeVar

from service.domain.errors import InvalidRequest
from service.domain.operations import Predict, SeriesInput, TextInput
from service.nets.config.architecture_config import SequenceConfig
from service.nets.config.sections import TOKENIZER_FILE
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
from service.tooling.pack.companion_files import CompanionFiles, copy_tokenizers
from service.tooling.predict.arguments import PredictionArguments
from service.tooling.verify.quality import Metric
from service.tooling.verify.sequence_quality import measure_sequences

InputsT = TypeVar("InputsT", bound=SequenceConfig)


class SequenceTools(ArchitectureTools[InputsT]):
    """Tools of networks that read text with a tokenizer or numbers with a preprocessor."""

    #: Whether a begin token is fed is stated by the user.
    vocabulary_roles = ("unknown", "pad")

    def complete(self, raw: dict[str, Any], files: CompanionFiles) -> dict[str, Any]:
        return with_special_tokens(raw, files)

    def check_companions(self, target: Path, config: InputsT, files: CompanionFiles) -> None:
        if config.reads_text:
            check_text_companions(target, config, files)
        else:
            check_numeric_companions(target, files, "the network")

    def write_companions(self, folder: Path, config: InputsT, files: CompanionFiles) -> None:
        if config.vocab_size is None:
            write_preprocessor(folder, config.features, None, files)
        elif files.tokenizer is not None:
            copy_tokenizers(files.tokenizer, folder, (config.input_file,))
        else:
            write_word_tokenizer(folder / TOKENIZER_FILE, config.vocab_size, config.special_tokens, files)

    def example(self, folder: Path, config: InputsT) -> dict[str, Any]:
        if config.reads_text:
            return example_text(folder / TOKENIZER_FILE)
        return {"values": example_rows(folder, config.features)}

    def metric(self, data: Path, task: AnyTask, config: InputsT) -> Metric:
        return measure_sequences(data, config, config.features)

    def read_input(self, model: str, config: InputsT, arguments: PredictionArguments) -> TextInput | SeriesInput:
        if config.reads_text:
            return read_text(model, arguments)
        if arguments.future is not None:
            raise InvalidRequest(f"--future is {arguments.future}: expected none, since {model} reads values alone")
        series = read_observations(model, config.features, arguments)
        return SeriesInput(series.values, series.flat)

    def render(self, config: InputsT, operation: Predict, output: dict[str, Any]) -> str:
        return "\n".join(_lines(output))


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
