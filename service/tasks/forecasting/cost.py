"""Cost of operations on a forecaster."""

from service.domain.cost import NUMBER_BYTES, Cost
from service.domain.operations import Operation, Predict, PredictOptions, SeriesInput
from service.nets.config.forecaster_config import ForecasterConfig
from service.tasks.forecasting.autoregressive import MIN_PATHS
from service.tasks.forecasting.direct import CHUNK

#: Bytes of an observation: as the client sent it, as it is fed, and as it is compared with its forecast.
OBSERVATION_BYTES = 160
#: Bytes of a number of a sample path while paths are drawn.
DRAWN_BYTES = 40


def forecasting_cost(operation: Operation, config: ForecasterConfig, state_bytes: int) -> Cost:
    """Return the cost of an operation. One that the model rejects may have any cost."""
    series = operation.input
    rows = len(series.values or ()) if isinstance(series, SeriesInput) else 0
    options = operation.options if isinstance(operation, Predict) else PredictOptions()
    horizon = min(options.horizon or config.horizon, config.horizon)
    steps = horizon * len(config.target)
    numbers = rows + steps * (1 + len(options.quantiles) + options.samples)
    paths = 0 if config.decoding == "direct" or config.distribution == "point" else max(MIN_PATHS, options.samples)
    drawn = DRAWN_BYTES * steps * max(paths, options.samples)
    observations = OBSERVATION_BYTES * rows * len(config.features)
    beside = 0 if config.window_size is None and config.decoder is None else min(rows, CHUNK)
    memory = observations + NUMBER_BYTES * numbers + drawn + (1 + paths + beside) * state_bytes
    timesteps = config.rows_per_input * (rows + max(1, paths * horizon))
    if config.decoder is not None:  # a step of it forecasts each row that comes in, and each step ahead
        timesteps += rows + horizon
    return Cost(timesteps, numbers, memory)
