"""A forecaster: row of numbers after row of numbers -> features -> distributions of the steps ahead.

    s_t, state = recurrent layers over x_t, `input_projection` in front where there is one
    f_t        = head layers over s_t, D numbers: the features
    c_k        = what the output layers read for step k = 1 .. H ahead:
                 direct, no context   output(f_t) itself, H x (T P) numbers
                 direct, context      activation(context(f_t)), H x C numbers
                 autoregressive       f_t, H = 1
    raw_k      = output(activation(local([c_k; future_k]))), T x P numbers; without `local` output(c_k)

`future_k` is what is known of the step: covariates, calendar, the value one season before. One network that answers all
steps at once, with contexts and a small local one: R. Wen et al., "A multi-horizon quantile recurrent forecaster"
(2017). Autoregressive, one step at a time fed back: D. Salinas et al., "DeepAR" (2020).

Parameters: `input_projection.weight/bias` (I, W); `rnn.*` as in `stack.py`; `head.{i}.weight/bias`; `context.weight`
(H C, D); `local.weight` (L, C + K); `output.weight` (T P, L or C), without context and local (H T P, D); biases.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from service.nets.config.forecaster_config import ForecasterConfig
from service.nets.config.rnn_spec import StateSpec
from service.nets.layers.dense import ACTIVATIONS, Head, Linear
from service.nets.layers.rnn_stack import RnnStack, State


class Forecaster(nn.Module):
    """The network that a configuration describes; its weights come from a state dict."""

    def __init__(self, config: ForecasterConfig) -> None:
        super().__init__()
        self.config = config
        layout = config.layout()
        self.input_projection = Linear(config.width, config.input_size) if config.input_projection else None
        self.rnn = RnnStack(layout)
        self.head = Head(layout.output_size(), config.head)
        self._make_output(config)

    def _make_output(self, config: ForecasterConfig) -> None:
        numbers, reads = len(config.target) * config.parameters, config.features_size
        self.context, self.local = None, None
        if config.context is not None:
            self.context = Linear(reads, config.horizon * config.context.size)
            reads = config.context.size
        elif config.decoding == "direct":
            numbers *= config.horizon
        if config.local is not None:
            self.local = Linear(reads + config.future_width, config.local.size)
            reads = config.local.size
        self.output = Linear(reads, numbers)

    @property
    def specs(self) -> list[StateSpec]:
        """The tensors of the state that the network itself keeps: the recurrent ones, and features where needed."""
        return [spec for spec in self.config.session_state() if spec.name not in {"last", "history"}]

    def initial_state(self, batch: int) -> State:
        """Return zeros, (batch, size) each."""
        return {spec.name: torch.zeros(batch, *spec.shape) for spec in self.specs}

    def step(self, x: Tensor, state: State) -> State:
        """Feed one row: x (B, W), state (B, size) each -> new state."""
        output, after = self.rnn.step(self._project(x), state)
        return self._keep(after, self.head(output))

    def sequence(self, x: Tensor, state: State) -> State:
        """Feed T >= 1 rows at once: x (B, T, W), state -> state after the last."""
        output, after = self.rnn.sequence(self._project(x), state)
        return self._keep(after, self.head(output[:, -1]))

    def contexts(self, state: State, steps: int) -> Tensor:
        """Return what the output layers read for the first `steps` steps ahead: (B, steps, ...)."""
        features = self._features(state)
        if self.config.decoding == "autoregressive":
            return features[:, None]
        layer = self.output if self.context is None else self.context
        spread = layer(features).unflatten(-1, (self.config.horizon, -1))[:, :steps]
        return spread if self.config.context is None else ACTIVATIONS[self.config.context.activation](spread)

    def parameters_of(self, contexts: Tensor, future: Tensor, base: Tensor) -> Tensor:
        """Return the distributions (N, T, P) of N steps ahead: contexts (N, C), future (N, K), base (N, T). Float32."""
        if self.local is not None and self.config.local is not None:
            both = torch.cat([contexts, future], -1)
            contexts = ACTIVATIONS[self.config.local.activation](self.local(both))
        plain = self.config.decoding == "direct" and self.context is None
        found: Tensor = contexts if plain else self.output(contexts)
        raw = found.float().reshape(len(found), len(self.config.target), self.config.parameters)
        return _constrain(self.config.distribution, raw, base[..., None].float())

    def _project(self, x: Tensor) -> Tensor:
        return x if self.input_projection is None else self.input_projection(x)

    def _features(self, state: State) -> Tensor:
        name = "features" if self.config.stores_features else f"h_l{self.config.num_layers - 1}"
        return state[name]

    def _keep(self, after: State, features: Tensor) -> State:
        return {**after, "features": features} if self.config.stores_features else after


def _constrain(distribution: str, raw: Tensor, base: Tensor) -> Tensor:
    """Turn raw outputs (N, T, P) to valid parameters, the location relative to `base` (N, T, 1).

    Quantiles are sorted, which never makes them worse: V. Chernozhukov, I. Fernandez-Val and A. Galichon, "Quantile
    and probability curves without crossing" (2010). A Student-t has more than two degrees of freedom, so a variance.
    """
    if distribution == "quantiles":
        return (raw + base).sort(-1).values
    location = raw[..., :1] + base
    if distribution == "point":
        return location
    scale = F.softplus(raw[..., 1:2]) + 1e-4
    if distribution == "gaussian":
        return torch.cat([location, scale], -1)
    return torch.cat([location, scale, F.softplus(raw[..., 2:]) + 2.001], -1)
