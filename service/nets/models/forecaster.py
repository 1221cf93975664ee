"""Forecaster: one row of numbers at a time -> features -> distributions of the steps ahead.

    s_t, state = recurrent layers over x_t, `input_projection` in front where there is one
    f_t        = head layers over s_t, D numbers: the features
    c_k        = input of the output layers for step k = 1 .. H ahead:
                 direct, no context   output(f_t) itself, H x (T P) numbers
                 direct, context      activation(context(f_t)), H x C numbers
                 autoregressive       f_t, H = 1
    raw_k      = output(activation(local([c_k; future_k]))), T x P numbers; without `local` output(c_k)

`future_k` are the features that are known of the step in advance: covariates, calendar, the values one season before.
All steps at once, with contexts and a small local network: R. Wen et al., "A multi-horizon quantile recurrent
forecaster" (2017). Autoregressive, step by step: D. Salinas et al., "DeepAR" (2020).

With a `decoder` the features are the state after the last row and the last targets; c_k is the head over the output of
the decoder's step k, which reads the location of step k - 1.

Parameters: `input_projection.weight/bias` (I, W); `rnn.*` (`rnn_stack.py`), `decoder.*` likewise;
`head.{i}.weight/bias`; `context.weight` (H C, D); `local.weight` (L, C + K); `output.weight` (T P, L or C), without
context, local and decoder (H T P, D); biases.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from service.nets.config.feed_forward import output_width
from service.nets.config.forecaster_config import ForecasterConfig
from service.nets.config.rnn_spec import StateSpec
from service.nets.layers.activations import make_activation
from service.nets.layers.dense import Linear
from service.nets.layers.feed_forward import FeedForward
from service.nets.layers.rnn_stack import RnnStack, State


class Forecaster(nn.Module):
    """Network of a configuration, uninitialised until a state dict is loaded."""

    def __init__(self, config: ForecasterConfig) -> None:
        super().__init__()
        self.config = config
        self.input_projection = Linear(config.width, config.input_size) if config.input_projection else None
        self.rnn = RnnStack(config.rnn_spec())
        decoder = None if config.decoder is None else config.decoder.rnn_spec().reading(len(config.target))
        self.decoder = None if decoder is None else RnnStack(decoder)
        self.head = FeedForward((decoder or config.rnn_spec()).output_size(), config.head)
        self._targets = [config.features.index(name) for name in config.target]
        self._starts_with_zeros = config.decoder is not None and config.decoder.start == "zeros"
        self._make_output(config)

    def _make_output(self, config: ForecasterConfig) -> None:
        outputs, inputs = len(config.target) * config.parameters, config.features_size
        if self.decoder is not None:
            inputs = output_width(config.head, self.decoder.layout.output_size())
        self.context, self.local = None, None
        context, local = config.context, config.local
        self._activate_context = make_activation("none" if context is None else context.activation)
        self._activate_local = make_activation("none" if local is None else local.activation)
        if config.context is not None:
            self.context = Linear(inputs, config.horizon * config.context.size)
            inputs = config.context.size
        elif config.decoding == "direct" and self.decoder is None:
            outputs *= config.horizon
        if config.local is not None:
            self.local = Linear(inputs + config.future_width, config.local.size)
            inputs = config.local.size
        self.output = Linear(inputs, outputs)

    @property
    def specs(self) -> list[StateSpec]:
        """The tensors of the network's own state: the recurrent ones, and the features where needed."""
        return [spec for spec in self.config.session_state() if spec.name not in {"last", "history"}]

    def initial_state(self, batch: int) -> State:
        """Return the state before the first row, (batch, size) each: zeros, or the learned state of the layers."""
        initial = self.rnn.initial_state(batch)
        if not self.config.stores_features:
            return initial
        features = torch.zeros(batch, self.config.features_size)
        if self.decoder is not None:
            continued = torch.cat([*self.recurrent_state(initial).values()], -1)
            features[:, : continued.shape[1]] = continued
        return {**initial, "features": features}

    def step(self, x: Tensor, state: State) -> State:
        """Feed one row: x (B, W), state (B, size) each -> new state."""
        output, after = self.rnn.step(self._project(x), state)
        return self._keep(after, output, x)

    def sequence(self, x: Tensor, state: State) -> State:
        """Feed T >= 1 rows at once: x (B, T, W), state -> state after the last."""
        output, after = self.rnn.sequence(self._project(x), state)
        return self._keep(after, output[:, -1], x[:, -1])

    def recurrent_state(self, state: State) -> State:
        """Return the recurrent tensors of a state, (B, size) each."""
        return {spec.name: state[spec.name] for spec in self.rnn.layout.recurrent_state()}

    def features_of(self, state: State) -> Tensor:
        """Return the features (B, D) of a state."""
        return state["features"] if self.config.stores_features else state[f"h_l{self.config.total_layers - 1}"]

    def contexts(self, features: Tensor, steps: int) -> Tensor:
        """Return the inputs of the output layers for the first `steps` steps ahead: (B, D) -> (B, steps, ...)."""
        if self.decoder is not None:
            return self._decoded(self.decoder, features, steps)
        if self.config.decoding == "autoregressive":
            return features[:, None]
        layer = self.output if self.context is None else self.context
        contexts = layer(features).unflatten(-1, (self.config.horizon, -1))[:, :steps]
        return contexts if self.config.context is None else self._activate_context(contexts)

    def parameters_of(self, contexts: Tensor, future: Tensor, base: Tensor) -> Tensor:
        """Return the distributions (N, T, P) of N steps, float32: contexts (N, C), future (N, K), base (N, T)."""
        if self.local is not None:
            contexts = self._activate_local(self.local(torch.cat([contexts, future], -1)))
        without_context = self.config.decoding == "direct" and self.context is None and self.decoder is None
        outputs: Tensor = contexts if without_context else self.output(contexts)
        raw = outputs.float().reshape(len(outputs), len(self.config.target), self.config.parameters)
        return _constrain(self.config, raw, base[..., None].float())

    def _project(self, x: Tensor) -> Tensor:
        return x if self.input_projection is None else self.input_projection(x)

    def _keep(self, after: State, output: Tensor, x: Tensor) -> State:
        """Return the state after a row x (B, W) with the features of the last output (B, O), where they are stored."""
        if self.decoder is not None:
            return {**after, "features": self._decoder_start(self.recurrent_state(after), x)}
        return {**after, "features": self.head(output)} if self.config.stores_features else after

    def _decoder_start(self, recurrent: State, x: Tensor) -> Tensor:
        """Return the features in front of a decoder after a row x (B, W): the recurrent state, and what it reads."""
        targets = x[:, self._targets]
        return torch.cat([*recurrent.values(), torch.zeros_like(targets) if self._starts_with_zeros else targets], -1)

    def _decoded(self, decoder: RnnStack, features: Tensor, steps: int) -> Tensor:
        """Return the features of the steps ahead (B, steps, D); each step reads the location of the one before."""
        sizes = {spec.name: spec.shape[0] for spec in decoder.specs}
        *states, fed = torch.split(features, [*sizes.values(), len(self._targets)], -1)
        state, contexts = dict(zip(sizes, states, strict=True)), []
        for _ in range(steps):
            output, state = decoder.step(fed, state)
            contexts.append(self.head(output))
            fed = self.output(contexts[-1]).unflatten(-1, (len(self._targets), -1))[..., 0]
        return torch.stack(contexts, 1)


_SCALES: dict[str, Callable[[Tensor], Tensor]] = {
    "softplus": F.softplus,
    "exp": torch.exp,
    "exp_half": lambda x: torch.exp(x / 2),
}
#: The least scale of a distribution, where the configuration has a smaller minimum.
MIN_SCALE = 1e-6


def _constrain(config: ForecasterConfig, raw: Tensor, base: Tensor) -> Tensor:
    """Return valid parameters of raw outputs (N, T, P), whose location is relative to `base` (N, T, 1).

    Quantiles are sorted, which never increases their error: V. Chernozhukov, I. Fernandez-Val and A. Galichon,
    "Quantile and probability curves without crossing" (2010). A Student-t has more than two degrees of freedom, so that
    its variance is finite.
    """
    distribution = config.distribution
    if distribution == "quantiles":
        return (raw + base).sort(-1).values
    location = raw[..., :1] + base
    if distribution == "point":
        return location
    scale = (_SCALES[config.scale.activation](raw[..., 1:2]) + config.scale.minimum).clamp(min=MIN_SCALE)
    if distribution == "gaussian":
        return torch.cat([location, scale], -1)
    return torch.cat([location, scale, F.softplus(raw[..., 2:]) + 2.001], -1)
