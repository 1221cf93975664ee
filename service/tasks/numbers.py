"""Rounding and perplexity of the numbers in an output."""

import math


def round_digits(value: float) -> float:
    """Return `value` rounded to seven significant digits, the precision of float32."""
    return float(f"{value:.7g}")


def perplexity(mean_logprob: float) -> float:
    """Return exp(-mean_logprob), limited to a finite float."""
    return round_digits(math.exp(min(-mean_logprob, 700.0)))
