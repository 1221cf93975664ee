"""The forecaster's trainer computes what the served network computes, on windows that never look ahead."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.recipes import forecast_distributions as distributions
from models.recipes import forecast_scores as scores
from models.recipes.forecast_calibration import spread_factor, widen
from models.recipes.forecast_export import Scaling, export, load, write_golden
from models.recipes.forecast_network import Architecture, Forecaster, Layer
from models.recipes.forecast_series import Series, Split, forecasts, forecasts_after, original_positions
from models.recipes.forecast_training import Schedule, Streams, train
from tests.registered import read_checkpoint
from tests.rounding import assert_rounded

LEVELS = (0.1, 0.25, 0.5, 0.9)
SMALL = Architecture(
    features=("load", "heat"),
    target=("load",),
    frequency="6h",
    horizon=6,
    hidden_size=5,
    calendar=("hour_of_day", "day_of_week"),
    distribution="quantiles",
    quantiles=LEVELS,
    season=4,
    output_residual=True,
    context=Layer(3, "tanh"),
    local=Layer(4, "gelu"),
)
#: The longest sum of products: the inputs of a layer, its hidden state and two biases.
TERMS = 10 + 5 + 2
#: Rows that are read, and what decodes them.
PASSES = 120 + 4
SPLIT = Split(valid=80, test=100, end=120)


def stamps(rows: int) -> np.ndarray:
    return np.datetime64("2024-02-27T00:00", "us") + np.arange(rows) * np.timedelta64(6, "h")


def values(rows: int = 120) -> np.ndarray:
    noise = np.random.default_rng(4).normal(0, 0.2, (rows, 2))
    return np.sin(np.arange(rows) * np.pi / 2)[:, None] + noise


def series(architecture: Architecture = SMALL, rows: int = 120) -> Series:
    return Series(architecture, values(rows)[None], stamps(rows))


def model(architecture: Architecture = SMALL) -> Forecaster:
    torch.manual_seed(2)
    return Forecaster(architecture).eval()


def ascending() -> Forecaster:
    """A network whose quantiles come in order without being sorted."""
    network = model()
    with torch.no_grad():
        network.output.bias.copy_(torch.tensor([-0.9, -0.5, 0.0, 0.8]))
        network.output.weight.mul_(0.1)
    return network


def test_the_value_one_season_before_a_step_repeats_beyond_the_season() -> None:
    data = series()
    base = data.future_features(original_positions(torch.tensor([50]))).base[0, :, 0]
    assert base.tolist() == data.targets[0, [47, 48, 49, 50, 47, 48], 0].tolist()


def test_a_stream_knows_no_season_from_before_its_first_row() -> None:
    data = series()
    base = data.future_features(original_positions(torch.tensor([50]), start=49)).base[0, :, 0]
    assert base.tolist() == [0, 0, *data.targets[0, [49, 50], 0].tolist(), 0, 0]


def test_without_a_season_steps_are_relative_to_the_last_value() -> None:
    data = series(replace(SMALL, season=0))
    assert data.future_features(original_positions(torch.tensor([50]))).base.flatten().tolist() == 6 * [
        data.targets[0, 50, 0].item()
    ]


def test_a_forecast_does_not_depend_on_what_comes_after_its_origin() -> None:
    changed = values()
    changed[61:] += 3
    before, after = (Series(SMALL, one[None], stamps(120)) for one in (values(), changed))
    assert torch.equal(forecasts(model(), before, 55, 61), forecasts(model(), after, 55, 61))
    assert not torch.equal(forecasts(model(), before, 61, 62), forecasts(model(), after, 61, 62))


def test_a_stream_of_all_rows_gives_the_forecast_of_the_whole_series() -> None:
    whole = forecasts(model(), series(), 59, 60)
    assert_rounded(forecasts_after(model(), series(), torch.tensor([59]), 60), whole, TERMS, PASSES)
    assert not torch.allclose(forecasts_after(model(), series(), torch.tensor([59]), 3), whole)


def test_streams_stay_in_the_training_part_and_go_on_where_they_stood() -> None:
    streams = Streams(Schedule(1, 1e-3, streams=7, piece=10), 2, 74, torch.Generator().manual_seed(1))
    last, _ = streams.next_piece()
    for _ in range(30):
        places_, fresh = streams.next_piece()
        assert int(places_.rows.max()) < 74
        assert torch.equal(places_.rows[~fresh, 0], last.rows[~fresh, -1] + 1)
        assert torch.equal(places_.rows[fresh, 0], places_.starts[fresh, 0])
        assert torch.equal(places_.starts[~fresh], last.starts[~fresh])
        last = places_


def test_training_lowers_the_loss_and_depends_on_the_seed_alone() -> None:
    schedule = Schedule(30, 2e-2, streams=4, piece=16, positions=4, validate_every=5, dropout=0.1)
    (first, low), (second, _) = (train(SMALL, series(), SPLIT, schedule) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    rows = scores.origins(SPLIT.valid, SPLIT.test, SMALL.horizon)
    found = forecasts(model(), series(), int(rows[0]), int(rows[-1]) + 1)
    assert low < distributions.pinball(found, scores.actual_targets(series(), rows), torch.tensor(LEVELS)).item()


def test_origins_have_their_whole_horizon_in_the_part() -> None:
    rows = scores.test_origins(SPLIT, 6)
    assert (int(rows[0]) + 1, int(rows[-1]) + 6) == (100, 119)


def test_a_repeat_is_the_last_season_over_and_over() -> None:
    data = series()
    assert (
        scores.seasonal_naive(data, torch.tensor([50]), 4)[0, :, 0].tolist()
        == data.targets[0, [47, 48, 49, 50, 47, 48], 0].tolist()
    )


def test_coverage_counts_the_values_between_the_two_levels() -> None:
    quantiles = torch.tensor([[0.0, 1.0, 2.0, 3.0]]).expand(5, -1)
    inside = scores.coverage(quantiles, LEVELS, 0.1, 0.9, torch.tensor([-0.1, 0.0, 1.5, 3.0, 3.1]))
    assert inside.tolist() == [False, True, True, True, False]


def test_rows_inside_a_window_are_left_out() -> None:
    assert scores.outside_windows(torch.tensor([9, 20]), 3, [(11, 12)]).tolist() == [[True, False, False], [True] * 3]


@pytest.mark.parametrize("value", [-4.0, -0.2, 0.3, 1.5, 2.9, 7.0])
def test_the_position_in_a_forecast_inverts_its_quantile_function(value: float) -> None:
    quantiles, levels = torch.tensor([[0.0, 1.0, 2.0, 3.0]]), torch.tensor(LEVELS)
    u = float(distributions.quantile_position(quantiles, levels, torch.tensor([value])))
    if u < 0.1:
        back = 0 + (1 - 0) / np.log(0.25 / 0.1) * np.log(u / 0.1)
    elif u > 0.9:
        back = 3 - (3 - 2) / np.log(0.5 / 0.1) * np.log((1 - u) / 0.1)
    else:
        back = float(np.interp(u, LEVELS, [0, 1, 2, 3]))
    # Far out in a tail, what is left of 1 has few digits: an error of it is as much larger in the logarithm.
    assert back == pytest.approx(value, abs=4 * torch.finfo(torch.float32).eps / min(u, 1 - u))


def test_the_correlation_of_paths_is_found_again() -> None:
    generator = np.random.default_rng(1)
    steps = [generator.normal(size=4000)]
    for _ in range(9):
        steps.append(0.8 * steps[-1] + 0.6 * generator.normal(size=4000))
    positions = torch.special.ndtr(torch.from_numpy(np.stack(steps, 1)))[..., None]
    assert distributions.path_correlation(positions) == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("name", ["point", "gaussian", "student_t", "quantiles"])
def test_the_loss_is_lowest_where_the_forecast_is_right(name: str) -> None:
    architecture = replace(SMALL, distribution=name, quantiles=LEVELS if name == "quantiles" else ())
    data = series(architecture)
    parameters = forecasts(model(architecture), data, 50, 60)
    assert parameters.shape == (10, 6, 1, architecture.parameters)
    middle = parameters.median(-1).values if name == "quantiles" else parameters[..., 0]
    levels = torch.tensor(architecture.quantiles)
    near, far = (distributions.loss(name, parameters, middle + shift, levels) for shift in (0.0, 5.0))
    assert near < far


def test_quantiles_are_sorted_once_trained_and_each_output_keeps_its_level_in_training() -> None:
    network, data = model(), series()
    with torch.no_grad():
        network.output.bias.copy_(torch.tensor([3.0, 2.0, 1.0, 0.0]))
    at = original_positions(torch.tensor([50]))
    features, _ = network.read(data.rows[:, :51])
    sorted_ = network.eval().decode(features[:, -1], data.future_features(at))
    own = network.train().decode(features[:, -1], data.future_features(at))
    assert (sorted_.diff(dim=-1) >= 0).all()
    assert (own.diff(dim=-1) < 0).all()


def test_widening_is_in_the_weights_and_leaves_the_median_alone() -> None:
    network, data = ascending(), series()
    before = forecasts(network, data, 50, 60)
    widen(network, 1.5)
    after = forecasts(network, data, 50, 60)
    assert_rounded(after[..., 2], before[..., 2], TERMS, PASSES)
    assert_rounded(after - after[..., 2:3], 1.5 * (before - before[..., 2:3]), TERMS, PASSES)


def test_the_spread_factor_gives_the_interval_its_share_of_the_validation_part() -> None:
    network, data = ascending(), series(rows=600)
    split = Split(200, 500, 600)
    widen(network, spread_factor(network, data, split, (0.1, 0.9), []))
    rows = scores.origins(split.valid, split.test, SMALL.horizon)
    found = forecasts(network, data, int(rows[0]), int(rows[-1]) + 1)
    covered = scores.coverage(found, LEVELS, 0.1, 0.9, scores.actual_targets(data, rows)).float().mean()
    assert float(covered) == pytest.approx(0.8, abs=0.02)


def test_an_exported_folder_is_read_back_whole(tmp_path: Path) -> None:
    network, scaling = model(), Scaling.of(values() * 3 + 1)
    export(network, scaling, 0.5, tmp_path)
    again, scaling_again = load(tmp_path)
    assert again.architecture == SMALL
    assert np.array_equal(scaling_again.scaled(values()), scaling.scaled(values()))
    assert torch.equal(forecasts(again, series(), 50, 60), forecasts(network, series(), 50, 60))
    assert json.loads((tmp_path / "config.json").read_text())["path_correlation"] == 0.5


def test_the_served_network_replays_the_golden_vectors(tmp_path: Path) -> None:
    export(model(), Scaling.of(values()), 0.0, tmp_path)
    write_golden(tmp_path, np.stack([values()[:9], values()[40:49]]), np.stack([stamps(9), stamps(49)[40:]]))
    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint.verified
