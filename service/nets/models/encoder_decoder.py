"""An encoder-decoder: source ids -> memory and first state; then target id after target id -> features -> logits.

    memory m_1 .. m_S, ends = encoder stack over the embeddings of the source
    first state             = bridge(ends)
    d_t, state              = decoder stack over the embedding of y_t, [embedding; features of t - 1] with input feeding
    context                 = sum over s of a_ts m_s, a = attention(d_t, m)
    features_t              = activation(combine [context; d_t]), without `combine` [context; d_t] itself
    logits_t                = output features_t

I. Sutskever, O. Vinyals and Q. Le, "Sequence to sequence learning with neural networks" (2014); attention behind the
recurrence and input feeding as Luong, Pham and Manning (2015) have them.

Parameters: `encoder.embedding.weight`, `encoder.rnn.*`, `decoder.embedding.weight`, `decoder.rnn.*` as in `stack.py`;
`bridge.*` (`bridge.py`), `attention.*` (`attention.py`); `combine.weight/bias`; `output.weight`, absent when tied to
the decoder's embedding; `output.bias`.

A session stores the decoder's recurrent tensors and, with input feeding, `attentional`, the last features.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from service.nets.config.encoder_decoder_config import EncoderDecoderConfig
from service.nets.config.rnn_spec import StateSpec
from service.nets.config.sections import EmbeddingConfig
from service.nets.layers.attention import EncoderMemory, make_attention
from service.nets.layers.bridge import Bridge
from service.nets.layers.dense import ACTIVATIONS, EmbeddingTable, Linear, Output
from service.nets.layers.rnn_stack import RnnStack, State


class Decoded(NamedTuple):
    """One timestep of R rows: features (R, F), weights over the source (R, S) or None, new state."""

    features: Tensor
    weights: Tensor | None
    state: State


class EncoderDecoder(nn.Module):
    """The network that a configuration describes; its weights come from a state dict."""

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.config = config
        query = config.decoder.layout().output_size()
        self.encoder = _Side(config.encoder)
        self.decoder = _Side(config.decoder)
        self.bridge = Bridge(config)
        self.attention = make_attention(config.attention, query, config.memory_size)
        self.combine = None if config.combine is None else Linear(config.context_size, config.combine.size)
        self._activation = ACTIVATIONS["none" if config.combine is None else config.combine.activation]
        tied = self.decoder.embedding if config.decoder.tie_weights else None
        self.output = Output(config.decoder.vocab_size, config.features_size, tied)

    @property
    def specs(self) -> list[StateSpec]:
        """The tensors that a session stores."""
        return self.config.session_state()

    def encode(self, ids: Tensor) -> tuple[EncoderMemory, State]:
        """Read sources of one length: ids (N, S) -> their memory and the decoder's first state, (N, size) each."""
        rnn = self.encoder.rnn
        values, ends = rnn.sequence(self.encoder.embed(ids), rnn.initial_state(len(ids), ids.device))
        keys = values if self.attention is None else self.attention.keys(values)
        state: State = self.bridge(ends)
        if self.config.decoder.input_feed:
            state["attentional"] = values.new_zeros(len(ids), self.config.features_size)
        return EncoderMemory(values, keys, torch.ones_like(ids, dtype=torch.bool)), state

    def step(self, ids: Tensor, state: State, memory: EncoderMemory, counts: Sequence[int]) -> Decoded:
        """Feed one token to each row: ids (R,), state (R, size) each, `counts` how many rows each source has, in order.

        Rows of one source share its memory; nothing that is padded or belongs to another source touches a row.
        """
        x = self.decoder.embed(ids)
        if self.config.decoder.input_feed:
            x = torch.cat([x, state["attentional"]], -1)
        output, after = self.decoder.rnn.step(x, state)
        if self.attention is None:
            features, weights = self._combine(output, None), None
        else:
            owner, slot = _places(counts, output.device)
            queries = output.new_zeros(len(counts), max(counts), output.shape[-1])
            queries[owner, slot] = output
            context, weights = self.attention(queries, memory)
            features, weights = self._combine(output, context[owner, slot]), weights[owner, slot]
        if self.config.decoder.input_feed:
            after["attentional"] = features
        return Decoded(features, weights, after)

    def sequence(self, ids: Tensor, state: State, memory: EncoderMemory) -> Decoded:
        """Feed T tokens to each source at once, not with input feeding: ids (N, T) -> (N, T, F), (N, T, S), state."""
        if self.config.decoder.input_feed:
            raise ValueError("with input feeding a decoder goes step by step only")
        output, after = self.decoder.rnn.sequence(self.decoder.embed(ids), state)
        context, weights = (None, None) if self.attention is None else self.attention(output, memory)
        return Decoded(self._combine(output, context), weights, after)

    def logits(self, features: Tensor) -> Tensor:
        """Return (..., F) -> (..., V)."""
        logits: Tensor = self.output(features)
        return logits

    def _combine(self, output: Tensor, context: Tensor | None) -> Tensor:
        both = output if context is None else torch.cat([context, output], -1)
        return both if self.combine is None else self._activation(self.combine(both))


class _Side(nn.Module):
    """An embedding and the layers that read it."""

    def __init__(self, fields: EmbeddingConfig) -> None:
        super().__init__()
        self.embedding = EmbeddingTable(fields.vocab_size, fields.embedding_size)
        self.rnn = RnnStack(fields.layout())

    def embed(self, ids: Tensor) -> Tensor:
        """Return (...) -> (..., E)."""
        return F.embedding(ids, self.embedding.weight)


def _places(counts: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return each row's source and its number among that source's rows, (R,) both."""
    owner = [source for source, count in enumerate(counts) for _ in range(count)]
    slot = [number for count in counts for number in range(count)]
    return torch.tensor(owner).to(device), torch.tensor(slot).to(device)
