"""Prediction options of a next-word model."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NextWordOptions:
    """The options of a prediction.

    `top_k` is the number of next words to list. With `complete` the last word of the input is an unfinished one, and
    the listed words start with it.
    """

    top_k: int = 5
    complete: bool = False
