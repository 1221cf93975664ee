"""Forecasting task: forecasts and anomaly scores of streams of observations with a recurrent network."""

import numpy as np
import torch
from torch import Tensor

from service.domain.cost import Cost
from service.domain.operations import Operation
from service.nets.forecast_inputs.preprocessor import Preprocessor
from service.nets.forecast_inputs.scaling import Numbers
from service.nets.models.forecaster import Forecaster
from service.tasks.forecasting.autoregressive import AutoregressiveForecast
from service.tasks.forecasting.cost import forecasting_cost
from service.tasks.forecasting.direct import DirectForecast, ForecastOutputs, ForwardPass, FutureInputs
from service.tasks.forecasting.requests import read_request
from service.tasks.forecasting.session_state import StreamState, StreamStateCodec
from service.tasks.forecasting.tensors import ForecastingTensors
from service.tasks.limits import TextLimits
from service.tasks.state_layout import StateLayout


class ForecastingTask:
    """Forecasting task: scores the rows of streams and forecasts their next steps."""

    name = "forecasting"

    def __init__(self, network: Forecaster, preprocessor: Preprocessor, limits: TextLimits) -> None:
        self._network = network
        self.preprocessor = preprocessor
        self._limits = limits
        config = network.config
        self.tensor_interface = ForecastingTensors(config)
        self._layout = StateLayout([(spec.name, spec.shape) for spec in network.specs])
        session_layout = StateLayout([(spec.name, spec.shape) for spec in config.session_state()])
        self.state_codec = StreamStateCodec(session_layout, len(config.features), config.season, len(config.target))
        self._operation_type = DirectForecast if config.decoding == "direct" else AutoregressiveForecast
        self.initial_state = StreamState(
            0, None, self._layout.concat(network.initial_state(1))[0], preprocessor.initial_history()
        )

    def cost(self, operation: Operation, *, in_session: bool) -> Cost:  # noqa: ARG002 - the same in a session
        """Return what an operation takes at most."""
        return forecasting_cost(operation, self._network.config, self.state_codec.state_bytes)

    def start(self, operation: Operation, state: StreamState) -> DirectForecast:
        """Validate and scale the input of an operation on `state`.

        Raises InvalidRequest or a subclass; nothing is computed.
        """
        request = read_request(operation, state, self.preprocessor, self._limits.input_tokens)
        return self._operation_type(state, request, self.preprocessor)

    def forward(self, batch: list[DirectForecast]) -> list[ForecastOutputs]:
        """Run the next pass of all operations and return one output for each. Operations are not modified."""
        passes = [operation.next_pass() for operation in batch]
        states, previous = self._feed(passes)
        scoring: dict[int, tuple[Tensor, FutureInputs]] = {}
        future: dict[int, tuple[Tensor, FutureInputs]] = {}
        for index, forward_pass in enumerate(passes):
            if forward_pass.scoring is not None:
                rows = [previous[index][row] for row in forward_pass.scoring.rows]
                scoring[index] = torch.cat(rows), forward_pass.scoring.inputs
            if forward_pass.future is not None:
                future[index] = states[index], forward_pass.future
        scored, forecasts = self._run_output_layers(scoring), self._run_output_layers(future)
        return [ForecastOutputs(own, scored.get(index), forecasts.get(index)) for index, own in enumerate(states)]

    def _feed(self, passes: list[ForwardPass]) -> tuple[list[Tensor], list[list[Tensor]]]:
        """Feed the rows of all passes, timestep by timestep.

        Return the new states (n, R) of each pass, and its states before each of its rows.
        """
        own_states = [forward_pass.states for forward_pass in passes]
        counts, states = [*map(len, own_states)], torch.cat(own_states)
        indices = torch.split(torch.arange(len(states)), counts)
        previous: list[list[Tensor]] = [[] for _ in passes]
        inputs = [*map(_inputs_of, passes)]
        for timestep in range(max(rows.shape[1] for rows in inputs)):
            feeding = [index for index, rows in enumerate(inputs) if rows.shape[1] > timestep]
            x = np.concatenate([inputs[index][:, timestep] for index in feeding])
            before, states = self._advance(states, torch.cat([indices[index] for index in feeding]), x)
            for index, own in zip(feeding, torch.split(before, [counts[index] for index in feeding]), strict=True):
                previous[index].append(own)
        return [*torch.split(states, counts)], previous

    def _advance(self, states: Tensor, fed: Tensor, x: Numbers) -> tuple[Tensor, Tensor]:
        """Feed the inputs (n, W) to the states with the indices `fed` (n,), in ascending order.

        Return these states before their row (n, R), and all states after it.
        """
        if len(fed) == len(states):  # all of them, in their order: no copies
            return states, self._step(x, states)
        before = states[fed]
        return before, states.index_copy(0, fed, self._step(x, before))

    def _step(self, x: Numbers, states: Tensor) -> Tensor:
        """Feed one row of inputs (n, W) to each state (n, R) and return the new states."""
        inputs = torch.from_numpy(x).float()
        return self._layout.concat(self._network.step(inputs, self._layout.split(states)))

    def _run_output_layers(self, requests: dict[int, tuple[Tensor, FutureInputs]]) -> dict[int, Numbers]:
        """Return the parameters (n, steps, T, P) for states (n, R) and future inputs, under the keys of `requests`."""
        if not requests:
            return {}
        states, futures = zip(*requests.values(), strict=True)
        max_steps = max(future.steps for future in futures)
        contexts = self._network.contexts(self._layout.split(torch.cat(states)), max_steps)
        own_contexts = torch.split(contexts, [len(own) for own in states])
        parts = [own[:, : future.steps].flatten(0, 1) for own, future in zip(own_contexts, futures, strict=True)]
        features = torch.from_numpy(np.concatenate([future.features for future in futures])).float()
        base = torch.from_numpy(np.concatenate([future.base for future in futures])).float()
        parameters = self._network.parameters_of(torch.cat(parts), features, base)
        outputs = zip(requests, futures, torch.split(parameters, [len(part) for part in parts]), strict=True)
        return {index: own.double().numpy().reshape(-1, future.steps, *own.shape[1:]) for index, future, own in outputs}


def _inputs_of(forward_pass: ForwardPass) -> Numbers:
    """Return the inputs (n, k, W) of a pass, without timesteps if it feeds none."""
    return np.zeros((0, 0, 0)) if forward_pass.inputs is None else forward_pass.inputs
