"""Trial of a tokenizer in a process of its own: this file is its script, and tokenizer.json its standard input.

The tokenizers library is machine code that holds the interpreter's lock. A file can make it run without end, exhaust
the memory, or end the process. The trial loads the file, and encodes and decodes texts, under limits of time and
memory. It exits with 0 if the tokenizer is usable, and with REFUSED after it has written the reason to standard output.
"""

import contextlib
import resource
import sys
from collections.abc import Callable, Iterator, Sized

from tokenizers import Tokenizer

REFUSED = 3
#: Processor time.
MAX_SECONDS = 10
#: Address space: some for the interpreter and the probes, and some for each byte of the file.
MEMORY_BYTES = 2**30
MEMORY_PER_BYTE = 32
#: Characters or tokens for each character of a text, beside a constant. Compatibility forms take up to 18.
MAX_GROWTH = 32
ALLOWANCE = 1024
#: Characters of a probe. A pattern that takes exponential or cubic time does not finish with so many.
RUN = 1500

SENTENCE = (
    "The 2nd 'quick' (brown) fox -- isn't it? -- jumps; caf\u00e9, na\u00efve: 12,345.67 \u4f60\u597d \U0001f98a!\n"
)
PATTERNS = ("a", "A", "1", " ", ".", "-", "'", "\n", "\u00e9", "\u4f60", "a ", "a.", "1a", "aA")


class Unusable(Exception):
    """Raised with the reason why a tokenizer is not used."""


def memory_limit(size: int) -> int:
    """Return the address space in bytes for a file of `size` bytes."""
    return MEMORY_BYTES + MEMORY_PER_BYTE * size


def probes() -> Iterator[str]:
    """Yield ordinary texts, and long runs of one kind of character, for which slow patterns take longest."""
    yield ""
    yield SENTENCE
    for pattern in PATTERNS:
        run = pattern * (RUN // len(pattern))
        yield run
        yield f"{run}!"


def try_tokenizer(content: bytes) -> None:
    """Load a tokenizer and use it. Raises Unusable, and what the library raises for a malformed file."""
    tokenizer = Tokenizer.from_buffer(content)
    for text in probes():
        _try_text(tokenizer, text)
    tokens = [(index, tokenizer.id_to_token(index)) for index in range(min(tokenizer.get_vocab_size(), RUN))]
    ids = [index for index, token in tokens if token is not None]
    length = sum(len(token) + 1 for _, token in tokens if token is not None)
    _require_growth("decoded text", _size(lambda: tokenizer.decode(ids, skip_special_tokens=False)), length)


def _try_text(tokenizer: Tokenizer, text: str) -> None:
    """Run the parts that the server runs on a text."""
    normalizer, pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    if normalizer is not None:
        _require_growth("normalized text", _size(lambda: normalizer.normalize_str(text)), len(text))
    if pre_tokenizer is not None:
        _require_growth("list of words", _size(lambda: pre_tokenizer.pre_tokenize_str(text)), len(text))
    _require_growth("list of tokens", _size(lambda: tokenizer.encode(text, add_special_tokens=False).ids), len(text))


def _size(use: Callable[[], Sized]) -> int:
    """Return the length of a result, 0 if the library refuses the text. A panic is no Exception, and passes."""
    try:
        return len(use())
    except Exception:  # noqa: BLE001 - as the library raises for a word without an entry
        return 0


def _require_growth(name: str, size: int, characters: int) -> None:
    limit = ALLOWANCE + MAX_GROWTH * characters
    if size > limit:
        raise Unusable(f"it makes a {name} of {size} from {characters} characters, expected at most {limit}")


def _limit(kind: int, value: int) -> None:
    """Lower a limit of this process, where the system has it."""
    hard = resource.getrlimit(kind)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def main() -> int:
    """Try the tokenizer on standard input, and return the exit status."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_CPU, MAX_SECONDS)
    content = sys.stdin.buffer.read()
    _limit(resource.RLIMIT_AS, memory_limit(len(content)))
    try:
        try_tokenizer(content)
    except BaseException as error:  # noqa: BLE001 - a panic of the library is no Exception
        sys.stdout.write(" ".join(str(error).split())[:300])
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
