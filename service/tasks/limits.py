"""How much text one request may bring or ask for."""

from dataclasses import dataclass

#: Rows or words of a file that is read without a server: it may be as long as it likes, nobody else waits.
MAX_ROWS = 10_000_000


@dataclass(frozen=True, slots=True)
class TextLimits:
    """The most tokens that one request may feed or generate, and the most in one sentence of a translation."""

    input_tokens: int = 4096
    generated_tokens: int = 1024
    sentence_tokens: int = 512
