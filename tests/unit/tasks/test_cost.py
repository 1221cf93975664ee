"""The cost of an operation, from sizes alone."""

from types import SimpleNamespace
from typing import Any, cast

from service.domain.operations import (
    Generate,
    GenerateOptions,
    Input,
    OpenSession,
    Predict,
    PredictOptions,
    Score,
    SeriesInput,
    TextInput,
)
from service.nets.config.forecaster_config import ForecasterConfig
from service.tasks.forecasting.cost import forecasting_cost
from service.tasks.limits import TextLimits
from service.tasks.next_word.cost import next_word_cost
from service.tasks.translation.cost import translation_cost

LIMITS = TextLimits(input_tokens=100, generated_tokens=50)


def predict(model_input: Input, **options: Any) -> Predict:
    return Predict(model_input, PredictOptions(**options))


def forecaster(**changes: Any) -> ForecasterConfig:
    config = {
        "horizon": 10,
        "target": ("a", "b"),
        "features": ("a", "b"),
        "decoding": "direct",
        "distribution": "normal",
        "window_size": None,
        "rows_per_input": 1,
        "decoder": None,
    }
    return cast("ForecasterConfig", SimpleNamespace(**config | changes))


def test_a_text_takes_a_timestep_for_each_character_at_most_and_no_more_than_the_limit() -> None:
    assert next_word_cost(predict(TextInput("abc")), LIMITS, 8).timesteps == 3
    assert next_word_cost(predict(TextInput("a" * 1000)), LIMITS, 8).timesteps == 100
    assert next_word_cost(Score(TextInput(ids=(1, 2))), LIMITS, 8).timesteps == 2


def test_a_generation_takes_a_timestep_for_each_token_and_keeps_states_only_with_stop_texts() -> None:
    plain = next_word_cost(Generate(None, GenerateOptions(40)), LIMITS, 1000)
    stopping = next_word_cost(Generate(None, GenerateOptions(40, stop=("x",))), LIMITS, 1000)
    assert plain.timesteps == stopping.timesteps == 40
    assert stopping.memory - plain.memory == 40 * 1000


def test_each_token_and_row_of_a_model_with_a_window_takes_a_timestep_for_each_place_of_the_window() -> None:
    window = 24
    for operation in (predict(TextInput("abc")), Score(TextInput("abc")), Generate(None, GenerateOptions(3))):
        assert next_word_cost(operation, LIMITS, 8, rows_per_token=window).timesteps == 3 * window
    series = predict(SeriesInput(((1.0, 2.0),) * 5))
    alone = forecasting_cost(series, forecaster(), 8)
    windowed = forecasting_cost(series, forecaster(window_size=window, rows_per_input=window), 8)
    assert windowed.timesteps == window * alone.timesteps
    assert windowed.memory > alone.memory


def test_a_translation_takes_a_row_for_each_beam_and_target_token() -> None:
    narrow, wide = (
        translation_cost(predict(TextInput("ab. cd."), beam_size=size), LIMITS, 8, in_session=False) for size in (1, 16)
    )
    assert wide.timesteps - narrow.timesteps == 15 * (2 * 7 + 10 * 3)


def test_attention_and_alternatives_multiply_the_numbers_of_a_translation() -> None:
    plain, attending = (
        translation_cost(predict(TextInput("abcd"), alternatives=3, attention=attention), LIMITS, 8, in_session=False)
        for attention in (False, True)
    )
    assert attending.numbers - plain.numbers == 4 * 4 * (2 * 4 + 10)


def test_a_step_of_a_translators_session_costs_less_than_a_text() -> None:
    step = translation_cost(predict(TextInput("abcd")), LIMITS, 8, in_session=True)
    assert step.timesteps < 1000
    assert translation_cost(OpenSession(TextInput("abcd")), LIMITS, 8, in_session=False).timesteps == 4


def test_a_forecast_holds_a_number_for_each_path_level_and_step() -> None:
    rows = SeriesInput(((1.0, 2.0),) * 7)
    cost = forecasting_cost(predict(rows, samples=100), forecaster(), 8)
    assert cost.numbers == 7 + 10 * 2 * (1 + 3 + 100)
    assert cost.timesteps == 8


def test_a_forecast_that_is_drawn_step_by_step_takes_a_row_for_each_path_and_step() -> None:
    cost = forecasting_cost(predict(SeriesInput(((1.0, 2.0),))), forecaster(decoding="autoregressive"), 8)
    assert cost.timesteps == 1 + 100 * 10


def test_a_decoder_that_feeds_itself_takes_a_row_for_each_step_ahead_and_each_row_that_is_scored() -> None:
    rows = SeriesInput(((1.0, 2.0),) * 7)
    cost = forecasting_cost(predict(rows, horizon=4), forecaster(decoder=object()), 8)
    assert cost.timesteps == 7 + 1 + 7 + 4


def test_operations_that_a_model_rejects_have_a_cost_too() -> None:
    for operation in (Score(SeriesInput(None)), Generate(SeriesInput(None)), predict(SeriesInput(None)), Predict(None)):
        assert next_word_cost(operation, LIMITS, 8).timesteps >= 0
        assert translation_cost(operation, LIMITS, 8, in_session=False).timesteps >= 0
        assert forecasting_cost(operation, forecaster(), 8).timesteps >= 0
