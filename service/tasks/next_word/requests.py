"""The prediction options of a next-word model."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NextWordOptions:
    """The number of next words to list; `complete` treats the last word as an unfinished prefix of them."""

    top_k: int = 5
    complete: bool = False
