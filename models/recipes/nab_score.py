"""Score of the Numenta Anomaly Benchmark for detectors of anomalies in streams.

A. Lavin and S. Ahmad, "Evaluating real-time anomaly detection algorithms: the Numenta Anomaly Benchmark" (2015). In the
standard profile a detection in a labelled window earns up to 1, more the earlier it is; a missed window costs 1; a
detection outside of the windows costs up to 0.11, less shortly after a window. The threshold is the one that scores
best over all series together. 0 is a detector that reports nothing, 100 one that reports each window at its first row.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FALSE_POSITIVE = 0.11
FALSE_NEGATIVE = 1.0
#: Part of a series, and its maximum number of rows, in which a detector may learn and nothing is scored.
PROBATION, MAX_PROBATION_ROWS = 0.15, 5000


@dataclass(frozen=True)
class LabelledScores:
    """Anomaly scores (rows,) in [0, 1] of a series, and its windows (first row, last row)."""

    scores: np.ndarray
    windows: Sequence[tuple[int, int]]


def probation_rows(rows: int) -> int:
    """Return the number of rows at the beginning of a series of `rows` in which nothing is scored."""
    return math.floor(PROBATION * min(rows, MAX_PROBATION_ROWS))


def nab_score(series: Sequence[LabelledScores]) -> tuple[float, float]:
    """Return the normalized score of the standard profile, and the threshold at which it is reached.

    Raises ValueError if no series has a window, since there is nothing to detect then.
    """
    windows = sum(len(item.windows) for item in series)
    if not windows:
        raise ValueError("the series have no windows: expected at least one")
    candidates = np.unique(np.concatenate([item.scores[probation_rows(len(item.scores)) :] for item in series]))
    best = -windows * FALSE_NEGATIVE, math.inf  # nothing is reported
    totals = sum(_scores_at(item, candidates) for item in series)
    index = int(np.argmax(totals))
    if totals[index] > best[0]:
        best = float(totals[index]), float(candidates[index])
    return 100 * (best[0] + windows * FALSE_NEGATIVE) / (windows * (1 + FALSE_NEGATIVE)), best[1]


def _scores_at(item: LabelledScores, thresholds: np.ndarray) -> np.ndarray:
    """Return the score of a series at each ascending threshold, where rows that reach it are reported."""
    weights, window_of = _weights(len(item.scores), item.windows)
    scored = np.arange(len(item.scores)) >= probation_rows(len(item.scores))
    outside = scored & (window_of < 0)
    order = np.argsort(item.scores[outside])
    costs = np.concatenate([np.cumsum(weights[outside][order][::-1])[::-1], [0.0]])
    totals = costs[np.searchsorted(item.scores[outside][order], thresholds, side="left")]
    for window in range(len(item.windows)):
        rows = scored & (window_of == window)
        # Weights fall within a window: the reward is that of the first row that is reported.
        highest = np.maximum.accumulate(item.scores[rows])
        first = np.searchsorted(highest, thresholds, side="left")
        totals += np.append(weights[rows], -FALSE_NEGATIVE)[first]
    return np.asarray(totals)


def _weights(rows: int, windows: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return what a detection at each row earns, (rows,), and the index of its window, -1 outside of all."""
    weights, window_of = np.full(rows, -FALSE_POSITIVE), np.full(rows, -1)
    for index, (first, last) in enumerate(windows):
        width, inside, after = last - first + 1, np.arange(first, last + 1), np.arange(last + 1, rows)
        weights[inside] = _sigmoid(-(last - inside + 1) / width) / _sigmoid(np.array(-1.0))
        window_of[inside] = index
        weights[after] = FALSE_POSITIVE * _sigmoid((after - last) / max(width - 1, 1))
    return weights, window_of


def _sigmoid(position: np.ndarray) -> np.ndarray:
    """Return the weight of positions relative to the end of a window: 1 far before, 0 at the end, -1 far after."""
    return np.asarray(np.where(position > 3, -1.0, 2 / (1 + np.exp(5 * np.minimum(position, 3))) - 1))
