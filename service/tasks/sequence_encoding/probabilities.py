"""Log-probabilities of logits, in float64 so that they do not depend on what else is computed."""

import numpy as np

from service.nets.forecast_inputs.scaling import Numbers


def log_softmax(logits: Numbers) -> Numbers:
    """Return the log-probabilities of labels of which one applies: (..., L) -> (..., L)."""
    shifted = logits - logits.max(-1, keepdims=True)
    result: Numbers = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result


def log_sigmoid(logits: Numbers) -> Numbers:
    """Return the log-probability of each label by itself: (..., L) -> (..., L)."""
    result: Numbers = -np.logaddexp(0.0, -logits)
    return result
