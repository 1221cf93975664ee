"""The architecture `forecaster`."""

from service.model_folder.golden.forecaster import replay_forecaster
from service.nets.config.forecaster_config import ForecasterConfig
from service.nets.forecast_inputs.preprocessor import read_preprocessor
from service.nets.models.forecaster import Forecaster
from service.tasks.architecture_spec import ArchitectureSpec
from service.tasks.forecasting.task import ForecastingTask

FORECASTER = ArchitectureSpec(
    config_class=ForecasterConfig,
    make_network=Forecaster,
    device_methods=("step", "sequence", "contexts", "parameters_of"),
    read_companions=read_preprocessor,
    replay=replay_forecaster,
    make_task=ForecastingTask,
    tools="service.tooling.architectures.forecaster:ForecasterTools",
)
