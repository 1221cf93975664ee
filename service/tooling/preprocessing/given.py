"""The files given to `import`: those of the network, and those of its preprocessing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.domain.errors import ModelFolderError
from service.tooling.preprocessing.contents import Found
from service.tooling.preprocessing.reader import read_preprocessing

#: Parts of preprocessing that can be stated as NAME=FILE.
PARTS = ("source", "target", "features", "labels")


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that was found in a file. `part` is what the user states it to be, or "".

    It is `given` in a file of its own, or stands beside the weights.
    """

    part: str
    found: Found
    given: bool = True


def split_files(files: Sequence[str]) -> tuple[list[str], list[Candidate]]:
    """Return the files of the network, as they were given, and the contents of those of preprocessing.

    A single file is one of a network. Raises ModelFolderError for a file that is stated to be another than it is.
    """
    networks, candidates = list[str](), list[Candidate]()
    for text in files:
        part, path = split_part(text)
        if len(files) == 1 or (part and part not in PARTS):
            networks.append(text)
            continue
        if found := read_preprocessing(path):
            candidates += [Candidate(part, item) for item in found]
        elif part:
            raise ModelFolderError(
                f"{path}: found no {part}, expected a vocabulary, a scaler or labels (docs/import.md)"
            )
        else:
            networks.append(text)
    if not networks:
        _reject_alone(files, candidates)
    return networks, candidates


def _reject_alone(files: Sequence[str], candidates: Sequence[Candidate]) -> None:
    """Raise ModelFolderError if there is preprocessing, but no network that it belongs to."""
    if candidates:
        names = ", ".join(str(item.found.item) for item in candidates)
        raise ModelFolderError(f"{files[0]}: found {names[:300]}, expected the file of the network too")


def read_stated(vocabularies: Iterable[str], scalers: Iterable[str]) -> list[Candidate]:
    """Return the contents of the files of --vocab and --scaler, each FILE or PART=FILE. Raises ModelFolderError."""
    candidates = list[Candidate]()
    for texts, kind, default in ((vocabularies, "a vocabulary", ""), (scalers, "a scaler", "features")):
        for text in texts:
            part, path = split_part(text)
            found = read_preprocessing(path, text=kind == "a vocabulary")
            if not found:
                raise ModelFolderError(f"{path}: found no content that is known, expected {kind} (docs/import.md)")
            candidates += [Candidate(part or default, item) for item in found]
    return candidates


def split_part(text: str) -> tuple[str, Path]:
    """Return the part and the path of PART=FILE; a file whose name has such a form is one without a part."""
    name, equals, path = text.partition("=")
    is_part = bool(equals) and name.isidentifier() and not Path(text).exists()
    return (name, Path(path)) if is_part else ("", Path(text))
