"""Rounding and perplexity of the numbers in an output."""

import math

import numpy as np

from service.nets.forecast_inputs.scaling import Numbers

#: The powers of ten that a double represents exactly.
MAX_EXACT_POWER = 22
POWERS_OF_TEN = np.array([10.0**exponent for exponent in range(MAX_EXACT_POWER + 1)])


def round_digits(value: float) -> float:
    """Return `value` rounded to seven significant digits, the precision of float32."""
    return float(f"{value:.7g}")


def perplexity(mean_logprob: float) -> float:
    """Return exp(-mean_logprob), limited to a finite float."""
    return round_digits(math.exp(min(-mean_logprob, 700.0)))


def round_to_scale(numbers: Numbers, scale: Numbers) -> Numbers:
    """Round numbers to seven significant digits of their own or of their `scale`, whichever are smaller.

    Seven digits are the precision of the float32 that the network computes in. It computes scaled numbers, of which
    seven digits of an unscaled number far from zero would lose a part.
    """
    size = np.minimum(np.abs(numbers), scale)
    exponent = np.floor(np.log10(np.where(size == 0, scale, size))) - 6
    # The quotient is the double nearest to the decimal, because these powers are exact.
    large, small = _power_of_ten(exponent), _power_of_ten(-exponent)
    result: Numbers = np.rint(numbers / large * small) / small * large
    return result


def _power_of_ten(exponent: Numbers) -> Numbers:
    """Return ten to the power of each exponent, limited to [0, MAX_EXACT_POWER]; 1 for NaN."""
    indices = np.fmin(np.fmax(exponent, 0), MAX_EXACT_POWER).astype(np.intp)
    powers: Numbers = POWERS_OF_TEN[indices]
    return powers
