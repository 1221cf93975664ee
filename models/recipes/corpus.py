"""Sources of the training text, its segmentation into words, and its held-out parts.

Sources, each given to a recipe as a path:

| file | public source |
|---|---|
| `fra-eng.zip` | Tatoeba sentence pairs as packed by manythings.org/anki on 2017-09-29, CC BY 2.0 France |
| `war-and-peace.txt.gz` | Project Gutenberg 2600, gzipped, public domain |
| `state_union.zip`, `inaugural.zip` | NLTK data, corpora of the same names: addresses of US presidents, public domain |

`CHECKSUMS` has their SHA-256. A file that differs gives a warning and is used, because newer editions are welcome.
"""

import gzip
import hashlib
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from service.tooling.preprocessing.vocabularies.word_list import QUOTES, WORD

CHECKSUMS = {
    "fra-eng.zip": "16c4f7d0df9e7c5e6c54cdb0447f3f4a18a55052ff5e2e0b27dd4a06c0e49d04",
    "war-and-peace.txt.gz": "3b04f8a4b4fd0ffadb3487f43520606bbbc90f1ae53eeea8d90237d0203e9620",
    "state_union.zip": "366c1dc82b2abf896f42b2ec50ba802a0141a29f75d29ca48a7a243ce5bfbe8d",
    "inaugural.zip": "7c5fb5793e31fbeae12bf1aa0ffda5336468f07cedb50654c6d31ca384e2046b",
}

_WORD = re.compile(WORD)
_PLAIN = str.maketrans(QUOTES)


def words(text: str) -> list[str]:
    """Tokenize `text` as the served tokenizer does: normalise typographic quotes, then split words and punctuation."""
    return _WORD.findall(text.translate(_PLAIN))


def warn_if_checksum_differs(path: Path) -> None:
    """Print a warning if `path` is not the file that the published figures were computed on."""
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    expected = CHECKSUMS.get(path.name)
    if actual != expected:
        print(f"warning: {path} has SHA-256 {actual}, the published figures used {expected}")


def part_of(sentence: str) -> str:
    """Return the part that an English sentence belongs to: `test` (5 %), `valid` (3 %) or `train`.

    A digest of the sentence's words without case and punctuation decides. All spellings of a sentence are therefore in
    one part, and all recipes that use Tatoeba share one split.
    """
    key = " ".join(re.findall(r"\w+", sentence.translate(_PLAIN).casefold()))
    bucket = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % 100
    return "test" if bucket < 5 else "valid" if bucket < 8 else "train"


def tatoeba_pairs(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the (English, French) pairs of `fra-eng.zip` in their order."""
    with zipfile.ZipFile(path) as archive, archive.open("fra.txt") as lines:
        for line in lines:
            english, french = line.decode("utf-8").rstrip("\n").split("\t")[:2]
            yield english, french


def tatoeba_english(path: Path) -> dict[str, list[str]]:
    """Return the distinct English sentences of each part, sorted."""
    parts: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for sentence in sorted({english for english, _ in tatoeba_pairs(path)}):
        parts[part_of(sentence)].append(sentence)
    return parts


def paragraphs(text: str) -> Iterator[str]:
    """Yield the paragraphs of `text` of at least five words, each on one line."""
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        line = " ".join(block.split())
        if len(line.split()) >= 5:
            yield line


def war_and_peace(path: Path) -> list[str]:
    """Return the paragraphs of the novel without Gutenberg's header and licence."""
    text = gzip.decompress(path.read_bytes()).decode("utf-8", errors="replace")
    start = text.index("\n", text.index("*** START OF THIS PROJECT GUTENBERG"))
    return list(paragraphs(text[start : text.index("*** END OF THIS PROJECT GUTENBERG")]))


def speeches(path: Path) -> list[str]:
    """Return the paragraphs of every address in one of the NLTK archives."""
    texts: list[str] = []
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".txt"):
                texts.extend(paragraphs(archive.read(name).decode("cp1252", errors="replace")))
    return texts
