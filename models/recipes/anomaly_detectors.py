"""Detectors of anomalies that learn nothing but means and deviations: a baseline, and a filter of other scores."""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr

#: Rows, and rows between two updates, of the baseline in the Numenta Anomaly Benchmark.
GAUSSIAN_ROWS, GAUSSIAN_STEP = 6400, 100
#: Rows of the mean that is compared, and of the distribution it is compared with, as in the benchmark's HTM detector.
RECENT_ROWS, HISTORY_ROWS, LIKELIHOOD_STEP = 10, 8640, 100
MIN_DEVIATION = 1e-6


def windowed_gaussian(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the scores (rows,) of the benchmark's detector "Windowed Gaussian" for values (rows,).

    Each value is compared with the normal distribution of up to 6,400 values before it, which follows every 100 rows
    once it is complete: the probability of a value nearer to the mean on its side, between 0.5 and 1.
    """
    values = np.asarray(values, float)
    scores = np.zeros(len(values))
    for row in range(1, len(values)):
        moved = max(0, row - GAUSSIAN_ROWS) // GAUSSIAN_STEP * GAUSSIAN_STEP
        window = values[moved : min(row, moved + GAUSSIAN_ROWS)]
        deviation = window.std() or MIN_DEVIATION
        scores[row] = ndtr(abs(values[row] - window.mean()) / deviation)
    return scores


def anomaly_likelihood(scores: np.ndarray, learning_rows: int) -> np.ndarray:
    """Return how unlikely the mean of the last ten scores is, by the scores before, on a logarithmic scale from 0 to 1.

    S. Ahmad, A. Lavin, S. Purdy and Z. Agha, "Unsupervised real-time anomaly detection for streaming data" (2017):
    with the normal distribution of the means of the history, the tail probability q becomes log(q) / log(1e-10). The
    first `learning_rows` scores only build the history, and get 0.
    """
    padded = np.concatenate([np.full(RECENT_ROWS - 1, scores[0]), scores])
    means = np.convolve(padded, np.full(RECENT_ROWS, 1 / RECENT_ROWS), "valid")
    likelihood = np.zeros(len(scores))
    mean, deviation = 0.0, 1.0
    for row in range(learning_rows, len(scores)):
        if (row - learning_rows) % LIKELIHOOD_STEP == 0:
            history = means[max(0, row - HISTORY_ROWS) : row]
            mean, deviation = float(history.mean()), max(float(history.std()), MIN_DEVIATION)
        tail = ndtr(-(means[row] - mean) / deviation)
        likelihood[row] = min(1.0, np.log(max(tail, 1e-300)) / np.log(1e-10))
    return likelihood
