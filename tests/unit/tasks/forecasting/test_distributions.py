"""Predictive distributions equal those of scipy, and their quantiles invert their probabilities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from service.tasks.forecasting.distributions import Distribution, anomaly_scores
from service.tasks.numbers import round_to_scale

LEVELS = np.array([0.05, 0.25, 0.5, 0.8, 0.95])
UNIFORM = np.linspace(0.001, 0.999, 999)
numbers = st.floats(-50, 50)


def quantiles(values: list[float], levels: np.ndarray = LEVELS) -> Distribution:
    return Distribution("quantiles", np.array([values]), levels)


def gaussian(mean: float, scale: float) -> Distribution:
    return Distribution("gaussian", np.array([[mean, scale]]), np.zeros(0))


def student_t(location: float, scale: float, degrees: float) -> Distribution:
    return Distribution("student_t", np.array([[location, scale, degrees]]), np.zeros(0))


def test_a_gaussian_is_that_of_scipy() -> None:
    distribution, reference = gaussian(3.0, 2.0), stats.norm(3.0, 2.0)
    np.testing.assert_allclose(distribution.quantile(UNIFORM), reference.ppf(UNIFORM), rtol=1e-9)
    np.testing.assert_allclose(distribution.probability(np.array([4.5])), reference.cdf([4.5]))
    assert distribution.mean() == [3.0]


def test_a_student_t_is_that_of_scipy() -> None:
    distribution, reference = student_t(-1.0, 0.5, 2.7), stats.t(2.7, -1.0, 0.5)
    np.testing.assert_allclose(distribution.quantile(UNIFORM), reference.ppf(UNIFORM), rtol=1e-7)
    np.testing.assert_allclose(distribution.probability(np.array([0.3])), reference.cdf([0.3]))
    assert distribution.mean() == [-1.0]


@pytest.mark.parametrize("degrees", [2.001, 2.7, 30.0, 1e12])
def test_the_farthest_quantiles_are_finite_and_in_order(degrees: float) -> None:
    levels = np.array([5e-324, 1e-300, 1e-12, 0.5, 1 - 1e-12, np.nextafter(1.0, 0.0)])
    values = student_t(0.0, 1.0, degrees).quantile(levels)
    assert np.isfinite(values).all()
    assert (np.diff(values) >= 0).all()


@settings(deadline=None)
@given(st.lists(numbers, min_size=5, max_size=5).map(sorted))
def test_quantiles_never_cross_and_have_the_values_of_their_levels(values: list[float]) -> None:
    distribution = quantiles(values)
    assert (np.diff(distribution.quantile(UNIFORM)) >= -1e-9).all()
    np.testing.assert_allclose(distribution.quantile(LEVELS), values, atol=1e-9)


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 20), min_size=5, max_size=5), numbers)
def test_probabilities_invert_quantiles(widths: list[float], start: float) -> None:
    distribution = quantiles([start + sum(widths[:count]) for count in range(1, 6)])
    levels = UNIFORM[::37]
    probabilities = [distribution.probability(distribution.quantile(np.array([level])))[0] for level in levels]
    np.testing.assert_allclose(probabilities, levels, atol=1e-6)


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 20), min_size=5, max_size=5), numbers)
def test_the_mean_of_quantiles_is_their_integral(widths: list[float], start: float) -> None:
    distribution = quantiles([start + sum(widths[:count]) for count in range(1, 6)])
    levels = (np.arange(20_000) + 0.5) / 20_000
    np.testing.assert_allclose(distribution.mean()[0], distribution.quantile(levels).mean(), atol=1e-2, rtol=1e-3)


def test_equal_quantiles_are_a_step_function() -> None:
    distribution = quantiles([2.0] * 5)
    assert distribution.mean() == [2.0]
    assert distribution.quantile(np.array([0.001])) == [2.0]
    assert distribution.probability(np.array([1.0]))[0] < 1e-9
    assert distribution.probability(np.array([3.0]))[0] > 1 - 1e-9


def test_scores_are_uniform_if_the_forecast_is_right() -> None:
    rows, targets = 20_000, 3
    forecasts = Distribution("gaussian", np.broadcast_to([1.0, 2.0], (rows, targets, 2)), np.zeros(0))
    values = np.random.default_rng(1).normal(1.0, 2.0, (rows, targets))
    scores = anomaly_scores(forecasts, values)
    assert stats.kstest(scores, "uniform").pvalue > 0.01


def test_a_missing_value_does_not_count_in_the_score() -> None:
    forecasts = Distribution("gaussian", np.broadcast_to([0.0, 1.0], (3, 2, 2)), np.zeros(0))
    scores = anomaly_scores(forecasts, np.array([[np.nan, np.nan], [np.nan, 1.0], [1.0, 1.0]]))
    score = 2 * stats.norm.cdf(1.0) - 1
    assert np.isnan(scores[0])
    np.testing.assert_allclose(scores[1:], [score, score**2])


def test_a_point_forecast_has_neither_quantiles_nor_probabilities() -> None:
    point = Distribution("point", np.array([[4.0]]), np.zeros(0))
    assert point.mean() == [4.0]
    with pytest.raises(ValueError, match="no quantiles"):
        point.quantile(np.array([0.5]))
    with pytest.raises(ValueError, match="no probabilities"):
        point.probability(np.array([0.5]))


@settings(deadline=None)
@given(st.lists(st.floats(-1e25, 1e25), min_size=1, max_size=5))
def test_rounding_keeps_seven_digits(values: list[float]) -> None:
    numbers = np.array(values)
    np.testing.assert_allclose(round_to_scale(numbers, np.array(np.inf)), numbers, rtol=5.1e-7, atol=1e-15)


def test_rounded_numbers_are_short() -> None:
    assert round_to_scale(np.array([1 / 3, 15137.569, 123456789.0, 0.0, -2.0000001]), np.array(np.inf)).tolist() == [
        0.3333333,
        15137.57,
        123456800.0,
        0.0,
        -2.0,
    ]


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_rounding_keeps_seven_digits_of_the_scale(mean: float, scale: float) -> None:
    numbers = mean + scale * np.linspace(-3.0, 3.0, 7)
    np.testing.assert_allclose(round_to_scale(numbers, np.array(scale)) / scale, numbers / scale, atol=1e-6, rtol=1e-12)
