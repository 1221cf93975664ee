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
from service.tasks.forecasting.feeding import Fed, Feed, feed, feed_windows
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
        self._layout = StateLayout.of(network.specs)
        session_layout = StateLayout.of(config.session_state())
        self.state_codec = StreamStateCodec(session_layout, len(config.features), config.season, len(config.target))
        self._operation_type = DirectForecast if config.decoding == "direct" else AutoregressiveForecast
        self._feed: Feed = feed if config.window_size is None else feed_windows
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
        fed = self._feed(self._network, self._layout, passes)
        scoring: dict[int, tuple[Tensor, FutureInputs]] = {}
        for index, forward_pass in enumerate(passes):
            if forward_pass.scoring is not None:
                rows = [fed[index].features_before[row] for row in forward_pass.scoring.rows]
                scoring[index] = torch.cat(rows), forward_pass.scoring.inputs
        scored, forecasts = self._run_output_layers(scoring), self._run_output_layers(self._future(passes, fed))
        return [ForecastOutputs(own.states, scored.get(index), forecasts.get(index)) for index, own in enumerate(fed)]

    def _future(self, passes: list[ForwardPass], fed: list[Fed]) -> dict[int, tuple[Tensor, FutureInputs]]:
        """Return the features (n, D) of the states and the future inputs of the passes that forecast."""
        futures = {index: each.future for index, each in enumerate(passes) if each.future is not None}
        if not futures:
            return {}
        states = [fed[index].states for index in futures]
        features = self._network.features_of(self._layout.split(torch.cat(states)))
        own = torch.split(features, [*map(len, states)])
        return {index: (part, futures[index]) for index, part in zip(futures, own, strict=True)}

    def _run_output_layers(self, requests: dict[int, tuple[Tensor, FutureInputs]]) -> dict[int, Numbers]:
        """Return the parameters (n, steps, T, P) for features (n, D) and future inputs, by the keys of `requests`."""
        if not requests:
            return {}
        features, futures = zip(*requests.values(), strict=True)
        max_steps = max(future.steps for future in futures)
        contexts = self._network.contexts(torch.cat(features), max_steps)
        own_contexts = torch.split(contexts, [len(own) for own in features])
        parts = [own[:, : future.steps].flatten(0, 1) for own, future in zip(own_contexts, futures, strict=True)]
        inputs = torch.from_numpy(np.concatenate([future.features for future in futures])).float()
        base = torch.from_numpy(np.concatenate([future.base for future in futures])).float()
        parameters = self._network.parameters_of(torch.cat(parts), inputs, base)
        outputs = zip(requests, futures, torch.split(parameters, [len(part) for part in parts]), strict=True)
        return {index: own.double().numpy().reshape(-1, future.steps, *own.shape[1:]) for index, future, own in outputs}
