"""Limits on the length of the inputs and outputs of one request."""

from dataclasses import dataclass

#: The limit for files that are read without a server, where a long one keeps no other client waiting.
MAX_ROWS = 10_000_000


@dataclass(frozen=True, slots=True)
class TextLimits:
    """The largest numbers of tokens that one request may feed and generate, and that a translated sentence may have.

    `input_tokens` also limits the rows of a series.
    """

    input_tokens: int = 4096
    generated_tokens: int = 1024
    sentence_tokens: int = 512
