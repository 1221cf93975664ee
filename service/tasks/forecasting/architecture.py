"""The architecture `forecaster`."""

from service.model_folder.golden.forecaster import replay_forecaster
from service.nets.config.forecaster_config import ForecasterConfig
from service.nets.descriptions.forecaster import describe_forecaster
from service.nets.forecast_inputs.preprocessor import read_preprocessor
from service.nets.models.forecaster import Forecaster
from service.nets.models.windowed_forecaster import WindowedForecaster
from service.tasks.architecture_spec import ArchitectureSpec
from service.tasks.forecasting.task import ForecastingTask


def _make_network(config: ForecasterConfig) -> Forecaster:
    return Forecaster(config) if config.window_size is None else WindowedForecaster(config)


FORECASTER = ArchitectureSpec(
    config_class=ForecasterConfig,
    make_network=_make_network,
    device_methods=("step", "sequence", "recurrent_state", "contexts", "parameters_of"),
    read_companions=read_preprocessor,
    replay=replay_forecaster,
    describe=describe_forecaster,
    make_task=ForecastingTask,
    tools="service.tooling.architectures.forecaster:ForecasterTools",
)
