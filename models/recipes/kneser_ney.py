"""Language model with interpolated modified Kneser-Ney smoothing, the baseline of the next-word model.

S. F. Chen and J. Goodman, "An empirical study of smoothing techniques for language modeling", Computer Speech and
Language 13 (1999), equations 26 to 28: three discounts an order, estimated from the counts of counts; lower orders
count distinct left neighbours.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

Context = tuple[int, ...]


class KneserNey:
    """An n-gram model over token ids that start and end every document with `boundary`."""

    def __init__(self, documents: Iterable[Sequence[int]], vocab_size: int, boundary: int, order: int = 5) -> None:
        self.order, self.vocab_size, self.boundary = order, vocab_size, boundary
        tables = self._count(documents)
        self.discounts = [_discounts(table) for table in tables]
        self.unigram = self._unigram(tables[0][()])
        self.tables = [
            {context: _entry(followers, discounts) for context, followers in table.items()}
            for table, discounts in zip(tables[1:], self.discounts[1:], strict=True)
        ]

    def _count(self, documents: Iterable[Sequence[int]]) -> list[dict[Context, dict[int, int]]]:
        """Return one table per order, contexts to followers to (continuation) counts."""
        tables: list[dict[Context, dict[int, int]]] = [defaultdict(dict) for _ in range(self.order)]
        for document in documents:
            tokens = (self.boundary, *document, self.boundary)
            for index in range(1, len(tokens)):
                self._count_token(tables, tokens, index)
        return tables

    def _count_token(self, tables: list[dict[Context, dict[int, int]]], tokens: Context, index: int) -> None:
        word = tokens[index]
        for length in range(min(self.order - 1, index), -1, -1):
            followers = tables[length][tokens[index - length : index]]
            seen = word in followers
            followers[word] = followers.get(word, 0) + 1
            # A lower order counts this n-gram once per distinct left neighbour: go on only when it was new.
            if seen:
                return

    def _unigram(self, followers: dict[int, int]) -> np.ndarray:
        counts = np.zeros(self.vocab_size)
        counts[list(followers)] = list(followers.values())
        taken = _taken(counts, self.discounts[0])
        return (counts - taken) / counts.sum() + taken.sum() / counts.sum() / self.vocab_size

    def distribution(self, context: Sequence[int]) -> np.ndarray:
        """Return the probabilities of every token, shape (vocab_size,), after `context` (boundary included)."""
        probabilities = self.unigram
        for length in range(1, min(self.order - 1, len(context)) + 1):
            entry = self.tables[length - 1].get(tuple(context[-length:]))
            if entry is None:
                break
            words, mass, backoff = entry
            probabilities = backoff * probabilities
            probabilities[words] += mass
        return probabilities


def _discounts(table: dict[Context, dict[int, int]]) -> np.ndarray:
    """Estimate the discounts of counts 0, 1, 2 and 3 or more (Chen and Goodman, equation 26)."""
    n = np.zeros(5)
    for followers in table.values():
        for count in followers.values():
            if count <= 4:
                n[count] += 1
    n = np.maximum(n, 1)  # a corpus so small that a count never occurs
    y = n[1] / (n[1] + 2 * n[2])
    return np.array([0.0, *(min(max(k - (k + 1) * y * n[k + 1] / n[k], 0.1), k) for k in (1, 2, 3))])


def _taken(counts: np.ndarray, discounts: np.ndarray) -> np.ndarray:
    return discounts[np.minimum(counts, 3).astype(int)]


def _entry(followers: dict[int, int], discounts: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the followers' ids, their discounted probabilities, and the weight left for the lower order."""
    words = np.fromiter(followers, dtype=np.int32)
    counts = np.fromiter(followers.values(), dtype=np.float64)
    taken = _taken(counts, discounts)
    total = counts.sum()
    return words, ((counts - taken) / total).astype(np.float32), float(taken.sum() / total)
