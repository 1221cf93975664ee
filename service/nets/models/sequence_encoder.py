"""Sequence encoder: tokens or rows of numbers -> recurrent layers -> readout -> outputs of a task.

    x_t = embedding of a token, or a row of numbers; `input_projection` in front of the layers where there is one
    h_t = recurrent layers over x_t, one or both directions
    r   = readout of the outputs so far (`readout.py`)
    y   = output(head(r)), K numbers; head(r) itself if the network has no outputs of its own

Parameters: `embedding.weight` (V, E) for tokens; `input_projection.weight/bias` (I, E or W); `rnn.*`
(`rnn_stack.py`); `readout.*`; `head.{i}.weight/bias`; `output.weight/bias` (K, D); `crf.*` (`crf.py`).

The state of a stream has the recurrent tensors and those of the readout. Networks that read both directions, or whose
tags depend on later ones, read whole sequences instead.
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from service.nets.config.rnn_spec import StateSpec
from service.nets.config.sequence_encoder_config import SequenceEncoderConfig
from service.nets.layers.crf import Crf
from service.nets.layers.dense import EmbeddingTable, Linear, OneHot, make_embedding
from service.nets.layers.feed_forward import FeedForward
from service.nets.layers.readout import make_readout
from service.nets.layers.rnn_stack import RnnStack, State


class SequenceEncoder(nn.Module):
    """Network of a configuration, uninitialised until a state dict is loaded."""

    def __init__(self, config: SequenceEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = _embedding(config)
        self.input_projection = Linear(config.width, config.input_size) if config.input_projection else None
        self.rnn = RnnStack(config.rnn_spec())
        kept_as = f"h_l{config.total_layers - 1}" if config.rnn_spec().last_output_is_state() else "output"
        self.readout = make_readout(config.readout, config.readout_size, kept_as, config.attention)
        self.head = FeedForward(config.readout_size, config.head)
        self.output = Linear(config.features_size, config.output_size) if config.output_size else None
        self.crf = Crf(config.output_size) if config.crf else None

    @property
    def specs(self) -> list[StateSpec]:
        """The tensors of the state of a stream."""
        return self.config.network_state()

    def initial_state(self, batch: int) -> State:
        """Return the state before the first timestep, (batch, size) each: zeros, but for learned initial states."""
        recurrent = self.rnn.initial_state(batch)
        return {**{spec.name: torch.zeros(batch, prod(spec.shape)) for spec in self.specs}, **recurrent}

    def step(self, inputs: Tensor, state: State, counts: Tensor) -> State:
        """Feed one timestep.

        Args:
            inputs: token ids (B,) or rows (B, W).
            state: the tensors (B, size) before it.
            counts: the numbers of timesteps (B, 1) before it.
        """
        output, after = self.rnn.step(self._read(inputs), state)
        return {**after, **self.readout.advance(output, state, counts)}

    def read_out(self, state: State, counts: Tensor) -> Tensor:
        """Return the readout (B, O) of a state after `counts` (B, 1) timesteps."""
        return self.readout.value(state, counts)

    def answer(self, readouts: Tensor) -> Tensor:
        """Return the outputs of readouts: (N, O) -> (N, K)."""
        features: Tensor = self.head(readouts)
        return features if self.output is None else self.output(features)

    def packed_sequences(self, inputs: Tensor, counts: Sequence[int]) -> Tensor:
        """Read whole sequences from the zero state, the longest first, as one tensor of all timesteps.

        The rows of `inputs` (n,) or (n, W) are those of the first timestep of all sequences, followed by those of the
        second, and so on; `counts` are their numbers. Returns the outputs (n, O) in the same order.
        """
        x = self._read(inputs)
        return self.rnn.packed_sequence(x, counts, self.rnn.initial_state(counts[0], x.device))[0]

    def sequence(self, inputs: Tensor) -> tuple[Tensor, State]:
        """Read whole sequences of one length: (B, T) or (B, T, W) -> outputs (B, T, O), recurrent state after them."""
        x = self._read(inputs)
        return self.rnn.sequence(x, self.rnn.initial_state(len(x), x.device))

    def read_out_sequence(self, outputs: Tensor) -> Tensor:
        """Return the readout of the outputs (T, O) of a whole sequence: (1, O), or (T, O) if it is `each`."""
        config = self.config
        if config.readout == "each":
            return outputs
        if config.readout == "last" and config.rnn_spec().layers[-1].bidirectional:
            return _ends(outputs)
        return self.readout.whole(outputs)

    def _read(self, inputs: Tensor) -> Tensor:
        x = inputs if self.embedding is None else self.embedding.embed(inputs)
        return x if self.input_projection is None else self.input_projection(x)


def _embedding(config: SequenceEncoderConfig) -> EmbeddingTable | OneHot | None:
    if config.vocab_size is None or config.embedding_size is None:
        return None
    return make_embedding(config.vocab_size, config.embedding_size, one_hot=config.one_hot)


def _ends(outputs: Tensor) -> Tensor:
    """Return the last output (1, O) of both directions: the reverse one has read all at the first timestep."""
    half = outputs.shape[1] // 2
    return torch.cat([outputs[-1:, :half], outputs[:1, half:]], -1)
