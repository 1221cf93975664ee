"""Forecasting with a recurrent network: streams of observations, each scored as it arrives, and distributions ahead."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from service.nets.forecaster import Forecaster
from service.nets.preprocessor import Preprocessor
from service.tasks.forecast_requests import read_request
from service.tasks.forecasts import Ahead, Forecasting, Pass, Told
from service.tasks.layout import StateLayout
from service.tasks.limits import TextLimits
from service.tasks.path_forecasts import AutoregressiveForecasting
from service.tasks.standing import Standing, StandingFormat
from service.types import Operation


class Forecasts:
    """Turns operations into forecasts and runs a timestep for many of them at once."""

    name = "forecasting"

    def __init__(self, network: Forecaster, preprocessor: Preprocessor, limits: TextLimits) -> None:
        self._network = network
        self._preprocessor = preprocessor
        self._limits = limits
        config = network.config
        self._layout = StateLayout([(spec.name, spec.shape) for spec in network.specs])
        self._format = StandingFormat(self._layout, len(config.features), config.season, len(config.target))
        self._kind = Forecasting if config.decoding == "direct" else AutoregressiveForecasting
        self.initial_state = Standing(0, None, torch.zeros(self._layout.size), preprocessor.empty_trail())

    @property
    def state_bytes(self) -> int:
        """How much a session stores."""
        return self._format.bytes

    def to_bytes(self, state: Standing) -> bytes:
        """Return what a session stores."""
        return self._format.to_bytes(state)

    def from_bytes(self, raw: bytes) -> Standing:
        """Return where the session stands. Raises StateCorrupted."""
        return self._format.from_bytes(raw)

    def start(self, operation: Operation, state: Standing) -> Forecasting:
        """Check and scale the operation's input. Raises InvalidRequest and its kinds; nothing has run by then."""
        request = read_request(operation, state, self._preprocessor, self._limits.input_tokens)
        return self._kind(state, request, self._preprocessor)

    def forward(self, batch: list[Forecasting]) -> list[Told]:
        """Score, feed and look ahead for all of `batch`; changes none of them."""
        wants = [one.wants for one in batch]
        counts = [len(one.states) for one in wants]
        rows = torch.cat([one.states for one in wants])
        places = torch.split(torch.arange(len(rows)), counts)
        scored = self._tell(rows, places, wants, lambda one: one.score)
        feeding = [at for at, one in enumerate(wants) if one.inputs is not None]
        if feeding:
            inputs = np.concatenate([one.inputs for one in wants if one.inputs is not None])
            fed = torch.cat([places[at] for at in feeding])
            after = self._network.step(torch.from_numpy(inputs).float(), self._layout.cut(rows[fed]))
            rows = rows.index_copy(0, fed, self._layout.join(after))
        seen = self._tell(rows, places, wants, lambda one: one.look)
        return [
            Told(states, score, look)
            for states, score, look in zip(torch.split(rows, counts), scored, seen, strict=True)
        ]

    def _tell(
        self, rows: Tensor, places: tuple[Tensor, ...], wants: list[Pass], of: Callable[[Pass], Ahead | None]
    ) -> list[np.ndarray | None]:
        """Run the output layers for the operations that want them: parameters (n, steps, T, P) each."""
        asking = [(at, ahead) for at, one in enumerate(wants) if (ahead := of(one)) is not None]
        found: list[np.ndarray | None] = [None] * len(wants)
        if not asking:
            return found
        most = max(ahead.steps for _, ahead in asking)
        contexts = self._network.contexts(self._layout.cut(rows[torch.cat([places[at] for at, _ in asking])]), most)
        counts = [len(places[at]) for at, _ in asking]
        parts = [
            own[:, : ahead.steps].flatten(0, 1)
            for own, (_, ahead) in zip(torch.split(contexts, counts), asking, strict=True)
        ]
        beside, base = (
            torch.from_numpy(np.concatenate([getattr(ahead, name) for _, ahead in asking])).float()
            for name in ("beside", "base")
        )
        parameters = self._network.parameters_of(torch.cat(parts), beside, base)
        lengths = [len(part) for part in parts]
        for (at, ahead), own in zip(asking, torch.split(parameters, lengths), strict=True):
            found[at] = own.double().numpy().reshape(-1, ahead.steps, *own.shape[1:])
        return found
