"""Reading of tokenizer.json, which a process of its own tries before this one loads it."""

import hashlib
import subprocess
import sys
from pathlib import Path

from tokenizers import Tokenizer

from service.domain.errors import ModelFolderError
from service.domain.files import read_file
from service.tasks import tokenizer_trial
from service.tasks.tokenizer_trial import MAX_SECONDS, REFUSED

#: Bytes of a file: some for normalisation tables, and some for each entry of the vocabulary, up to a limit.
BASE_BYTES = 2**22
ENTRY_BYTES = 2**10
MAX_BYTES = 2**27
#: A trial on a busy machine takes longer than its processor time.
TIMEOUT_SECONDS = 12 * MAX_SECONDS
#: Digests of the files that this process has tried: a model is loaded in several dtypes, and again after a change.
MAX_TRIED = 256
_tried: set[bytes] = set()

EXPECTED = "a Hugging Face tokenizers file"


def read_tokenizer(path: Path, vocab_size: int) -> Tokenizer:
    """Read a tokenizer of about `vocab_size` entries.

    Raises ModelFolderError for a file that is malformed, too large, or not usable within limits of time and memory.
    """
    content = read_file(path, min(BASE_BYTES + ENTRY_BYTES * vocab_size, MAX_BYTES), EXPECTED)
    digest = hashlib.sha256(content).digest()
    if digest not in _tried:
        if refusal := _try(content):
            raise ModelFolderError(f"{path}: not {EXPECTED}: {refusal}")
        if len(_tried) >= MAX_TRIED:
            _tried.clear()
        _tried.add(digest)
    try:
        return Tokenizer.from_buffer(content)
    except BaseException as error:
        if not is_library_error(error):
            raise
        raise ModelFolderError(f"{path}: not {EXPECTED}: {error}") from error


def _try(content: bytes) -> str:
    """Return why a tokenizer is not usable, or an empty text."""
    # -P: the modules beside the script must not hide those of the standard library.
    command = [sys.executable, "-P", tokenizer_trial.__file__]
    try:
        trial = subprocess.run(
            command, input=content, capture_output=True, timeout=TIMEOUT_SECONDS, start_new_session=True, check=False
        )
    except OSError as error:
        return f"it cannot be tried: {error.strerror}"
    except subprocess.TimeoutExpired:
        return f"it takes more than {TIMEOUT_SECONDS} s to try"
    if trial.returncode == REFUSED:
        return trial.stdout.decode("utf-8", "replace")
    if trial.returncode:
        limits = f"{MAX_SECONDS} s of processor time and {tokenizer_trial.memory_limit(len(content)) >> 20} MiB"
        return f"its trial ended with status {trial.returncode}, expected it to be usable within {limits}"
    return ""


def is_library_error(error: BaseException) -> bool:
    """Return whether an error is one of the library: an Exception, or a panic, which is none."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"
