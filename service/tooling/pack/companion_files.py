"""The files given to `pack` that a model folder holds beside config.json and the weights."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from service.domain.errors import ModelFolderError
from service.model_folder.golden.replay import FILE as GOLDEN


@dataclass(frozen=True, slots=True)
class CompanionFiles:
    """The files given to `pack`: a word list or tokenizer, a preprocessor, golden vectors and a model card.

    `tokenizer` is a file or a folder of several. `preprocessor` may be `identity`, for unscaled numbers.
    """

    vocab: Path | None = None
    tokenizer: Path | None = None
    preprocessor: Path | Literal["identity"] | None = None
    golden: Path | None = None
    card: Path | None = None

    def write_common(self, folder: Path) -> None:
        """Copy the files that do not depend on the architecture. Raises OSError for a file that cannot be read."""
        for path, name in ((self.golden, GOLDEN), (self.card, "README.md")):
            if path is not None:
                shutil.copyfile(path, folder / name)


def copy_tokenizers(source: Path, folder: Path, names: Sequence[str]) -> None:
    """Copy the tokenizers that a config.json names: one file, or those of the folder `source`.

    Raises ModelFolderError.
    """
    names = list(dict.fromkeys(names))
    if source.is_dir():
        if missing := [name for name in names if not (source / name).is_file()]:
            raise ModelFolderError(f"{source}: found no {missing[0]}, expected the tokenizers that config.json names")
    elif len(names) > 1:
        raise ModelFolderError(f"{source}: found one tokenizer, expected a folder with {' and '.join(names)}")
    for name in names:
        shutil.copyfile(source / name if source.is_dir() else source, folder / name)
