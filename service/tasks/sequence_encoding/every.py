"""The option `every` of tasks that can answer each timestep or the last one."""

from dataclasses import dataclass
from typing import Literal

from service.domain.errors import InvalidRequest
from service.domain.operations import PredictOptions
from service.nets.config.task_outputs import TaskOutputs
from service.tasks.options import convert_options


@dataclass(frozen=True, slots=True)
class EveryOptions:
    """The options of an answer: `every` step, or the last one alone; None for what the readout is made for."""

    every: Literal["step", "last"] | None = None


def read_every(options: PredictOptions, config: TaskOutputs, owner: str, timesteps: int) -> bool:
    """Return whether each of the new timesteps is answered. Without any, the last one is answered again.

    Raises InvalidRequest for another option, or if the readout is that of a whole sequence.
    """
    every = convert_options(options, EveryOptions, owner).every
    if every == "step" and not config.answers_each:
        raise InvalidRequest(
            f"options.every is 'step': expected 'last', since the readout is {config.readout} and the network reads "
            "the whole sequence at once",
            param="options.every",
        )
    steps = every == "step" or (every is None and config.readout == "each")
    return steps and timesteps > 0
