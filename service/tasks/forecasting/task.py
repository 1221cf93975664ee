"""Forecasting with a recurrent network: streams of observations, each scored as it arrives, and distributions ahead."""

import numpy as np
import torch
from torch import Tensor

from service.domain.operations import Operation
from service.nets.forecast_inputs.preprocessor import Numbers, Preprocessor
from service.nets.models.forecaster import Forecaster
from service.tasks.forecasting.autoregressive import AutoregressiveForecast
from service.tasks.forecasting.direct import DirectForecast, ForecastInputs, ForwardPass, FutureInputs
from service.tasks.forecasting.requests import read_request
from service.tasks.forecasting.session_state import StreamState, StreamStateCodec
from service.tasks.limits import TextLimits
from service.tasks.state_layout import StateLayout


class ForecastingTask:
    """Turns operations into forecasts and runs a timestep for many of them at once."""

    name = "forecasting"

    def __init__(self, network: Forecaster, preprocessor: Preprocessor, limits: TextLimits) -> None:
        self._network = network
        self.preprocessor = preprocessor
        self._limits = limits
        config = network.config
        self._layout = StateLayout([(spec.name, spec.shape) for spec in network.specs])
        whole = StateLayout([(spec.name, spec.shape) for spec in config.session_state()])
        self.state_codec = StreamStateCodec(whole, len(config.features), config.season, len(config.target))
        self._kind = DirectForecast if config.decoding == "direct" else AutoregressiveForecast
        self.initial_state = StreamState(0, None, torch.zeros(self._layout.size), preprocessor.initial_history())

    def start(self, operation: Operation, state: StreamState) -> DirectForecast:
        """Check and scale the operation's input. Raises InvalidRequest and its kinds; nothing has run by then."""
        request = read_request(operation, state, self.preprocessor, self._limits.input_tokens)
        return self._kind(state, request, self.preprocessor)

    def forward(self, batch: list[DirectForecast]) -> list[ForecastInputs]:
        """Feed, score and look ahead for all of `batch`; changes none of them."""
        wants = [one.wants for one in batch]
        counts = [len(one.states) for one in wants]
        rows, passed = self._feed(torch.cat([one.states for one in wants]), counts, wants)
        states = torch.split(rows, counts)
        checks = {
            at: (torch.cat([passed[at][row] for row in one.check.rows]), one.check.known)
            for at, one in enumerate(wants)
            if one.check is not None
        }
        looks = {at: (states[at], one.look) for at, one in enumerate(wants) if one.look is not None}
        scored, seen = self._tell(checks), self._tell(looks)
        return [ForecastInputs(own, scored.get(at), seen.get(at)) for at, own in enumerate(states)]

    def _feed(self, rows: Tensor, counts: list[int], wants: list[ForwardPass]) -> tuple[Tensor, list[list[Tensor]]]:
        """Feed row after row to the states that have any left; also return each operation's states before them."""
        places = torch.split(torch.arange(len(rows)), counts)
        passed: list[list[Tensor]] = [[] for _ in wants]
        inputs = _inputs_of(wants)
        for time in range(max(one.shape[1] for one in inputs)):
            feeding = [index for index, one in enumerate(inputs) if one.shape[1] > time]
            fed = torch.cat([places[index] for index in feeding])
            before = rows[fed]
            for index, own in zip(feeding, torch.split(before, [counts[index] for index in feeding]), strict=True):
                passed[index].append(own)
            x = np.concatenate([inputs[index][:, time] for index in feeding])
            rows = rows.index_copy(0, fed, self._step(x, before))
        return rows, passed

    def _step(self, x: Numbers, rows: Tensor) -> Tensor:
        """Feed one row of inputs (n, W) to each state (n, R); return the states after it."""
        inputs = torch.from_numpy(x).float()
        return self._layout.concat(self._network.step(inputs, self._layout.split(rows)))

    def _tell(self, asking: dict[int, tuple[Tensor, FutureInputs]]) -> dict[int, Numbers]:
        """Run the output layers on the states (n, R) of those that ask: parameters (n, steps, T, P) each."""
        if not asking:
            return {}
        most = max(ahead.steps for _, ahead in asking.values())
        contexts = self._network.contexts(
            self._layout.split(torch.cat([states for states, _ in asking.values()])), most
        )
        each = zip(torch.split(contexts, [len(states) for states, _ in asking.values()]), asking.values(), strict=True)
        parts = [own[:, : ahead.steps].flatten(0, 1) for own, (_, ahead) in each]
        beside, base = (
            torch.from_numpy(np.concatenate([getattr(ahead, name) for _, ahead in asking.values()])).float()
            for name in ("beside", "base")
        )
        parameters = self._network.parameters_of(torch.cat(parts), beside, base)
        found: dict[int, Numbers] = {}
        for at, own in zip(asking, torch.split(parameters, [len(part) for part in parts]), strict=True):
            found[at] = own.double().numpy().reshape(-1, asking[at][1].steps, *own.shape[1:])
        return found


def _inputs_of(passes: list[ForwardPass]) -> list[Numbers]:
    """Return the inputs (n, t, W) of each pass, without timesteps where it feeds none."""
    return [np.zeros((0, 0, 0)) if one.inputs is None else one.inputs for one in passes]
