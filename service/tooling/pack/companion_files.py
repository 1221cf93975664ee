"""The files of a model folder beside config.json and the weights, for each kind of network."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from service.domain.errors import ModelFolderError
from service.model_folder.golden.replay import FILE as GOLDEN
from service.nets.config.architecture_config import ArchitectureConfig
from service.nets.config.forecaster_config import ForecasterConfig
from service.nets.config.language_model_config import LanguageModelConfig
from service.nets.forecast_inputs.preprocessor import FILE as PREPROCESSOR
from service.tooling.pack.word_list import word_tokenizer

#: The preprocessor of a network that reads unscaled numbers.
IDENTITY: Literal["identity"] = "identity"


@dataclass(frozen=True, slots=True)
class CompanionFiles:
    """The files given to `pack`: one of `vocab` (a word list) and `tokenizer` for text, `preprocessor` for numbers."""

    vocab: Path | None = None
    tokenizer: Path | None = None
    preprocessor: Path | Literal["identity"] | None = None
    golden: Path | None = None
    card: Path | None = None

    def check(self, target: Path, config: ArchitectureConfig) -> None:
        """Check that the files suit the network, before anything is written. Raises ModelFolderError."""
        if isinstance(config, ForecasterConfig):
            self._check_numbers(target)
            return
        if self.preprocessor is not None:
            raise ModelFolderError(
                f"{self.preprocessor}: found a preprocessor, expected none: {config.task} reads text, not numbers"
            )
        if (self.vocab is None) == (self.tokenizer is None):
            raise ModelFolderError(
                f"{target}: found vocab {self.vocab} and tokenizer {self.tokenizer}, expected exactly one of them"
            )
        if self.vocab is not None and not isinstance(config, LanguageModelConfig):
            raise ModelFolderError(f"{self.vocab}: found a word list, expected tokenizers for a translation model")

    def _check_numbers(self, target: Path) -> None:
        for kind, path in (("word list", self.vocab), ("tokenizer", self.tokenizer)):
            if path is not None:
                raise ModelFolderError(f"{path}: found a {kind}, expected none: a forecaster reads numbers, not text")
        if self.preprocessor is None:
            raise ModelFolderError(
                f"{target}: found no preprocessor, expected --preprocessor FILE with the mean and scale of each "
                "feature in training, or --preprocessor identity for a network that reads the numbers as they are"
            )

    def write(self, folder: Path, config: ArchitectureConfig) -> None:
        """Write all files into `folder`. Raises ModelFolderError, and OSError for a file that cannot be read."""
        if self.vocab is not None and isinstance(config, LanguageModelConfig):
            tokenizer = word_tokenizer(self.vocab, config.vocab_size, config.special_tokens["unknown"])
            tokenizer.save(str(folder / "tokenizer.json"))
        if self.preprocessor == IDENTITY and isinstance(config, ForecasterConfig):
            _write_identity(folder / PREPROCESSOR, config)
        copies: list[tuple[Path | str | None, str]] = [(self.golden, GOLDEN), (self.card, "README.md")]
        if self.preprocessor != IDENTITY:
            copies.append((self.preprocessor, PREPROCESSOR))
        if self.tokenizer is not None:
            copies += _tokenizers(self.tokenizer, config)
        for path, name in copies:
            if path is not None:
                shutil.copyfile(path, folder / name)


def _write_identity(path: Path, config: ForecasterConfig) -> None:
    count = len(config.features)
    fields = {
        "format_version": 1,
        "features": config.features,
        "mean": [0.0] * count,
        "scale": [1.0] * count,
        "frequency": config.frequency,
        "clamp": None,
        "missing": "last",
    }
    path.write_text(json.dumps(fields, indent=2) + "\n", "utf-8")


def _tokenizers(source: Path, config: ArchitectureConfig) -> list[tuple[Path, str]]:
    """Return pairs of tokenizer file and name in config.json: one file, or those of a folder."""
    names = list(dict.fromkeys(config.tokenizers))
    if source.is_dir():
        if missing := [name for name in names if not (source / name).is_file()]:
            raise ModelFolderError(f"{source}: found no {missing[0]}, expected the tokenizers that config.json names")
        return [(source / name, name) for name in names]
    if len(names) > 1:
        raise ModelFolderError(f"{source}: found one tokenizer, expected a folder with {' and '.join(names)}")
    return [(source, names[0])]
