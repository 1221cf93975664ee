"""Encoder-decoder: source ids -> memory and first state; then one target id at a time -> features -> logits.

    memory m_1 .. m_S, ends = encoder stack over the embeddings of the source
    first state             = bridge(ends)
    d_t, state              = decoder stack over the embedding of y_t, [embedding; features of t - 1] with input feeding
    context                 = sum over s of a_ts m_s, a = attention(d_t, m)
    features_t              = activation(combine [context; d_t]), without `combine` [context; d_t] itself
    logits_t                = output features_t

An attention in front compares the memory with the last state of the decoder, d_t-1, and the decoder reads [embedding of
y_t; context]. `readout` states what `combine` or the output layer reads: context, output, embedding.

I. Sutskever, O. Vinyals and Q. Le, "Sequence to sequence learning with neural networks" (2014); attention after
the recurrent layers and input feeding as in T. Luong, H. Pham and C. Manning (2015).

Parameters: `encoder.embedding.weight`, `decoder.embedding.weight`; `encoder.rnn.*`, `decoder.rnn.*` (`rnn_stack.py`);
`bridge.*` (`bridge.py`), `attention.*` (`attention.py`); `combine.weight/bias`; `output.weight`, absent when tied to
the decoder's embedding; `output.bias`.

A session stores the decoder's recurrent tensors and, with input feeding, `attentional`, the last features.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from service.nets.config.encoder_decoder_config import READOUT_PARTS, EncoderDecoderConfig
from service.nets.config.rnn_spec import StateSpec
from service.nets.config.sections import EmbeddingConfig
from service.nets.layers.activations import make_activation
from service.nets.layers.attention import EncoderMemory, make_attention
from service.nets.layers.bridge import Bridge
from service.nets.layers.dense import Linear, Output, make_embedding, tied_table
from service.nets.layers.rnn_stack import RnnStack, State


class Decoded(NamedTuple):
    """Output of a timestep of R rows: features (R, F), attention over the source (R, S) or None, new state."""

    features: Tensor
    weights: Tensor | None
    state: State


class EncoderDecoder(nn.Module):
    """Network of a configuration, uninitialised until a state dict is loaded."""

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.config = config
        self._readout, self._in_front = config.readout_parts, config.attends_in_front
        self._last_state = f"h_l{config.decoder.total_layers - 1}"
        self.encoder = _Side(config.encoder, config.encoder.embedding_size)
        self.decoder = _Side(config.decoder, config.decoder_reads)
        self.bridge = Bridge(config)
        self.attention = make_attention(
            config.attention, config.query_size, config.memory_size, config.attention_length or 0
        )
        self.combine = None if config.combine is None else Linear(config.context_size, config.combine.size)
        self._activation = make_activation("none" if config.combine is None else config.combine.activation)
        tied = tied_table(self.decoder.embedding, tied=config.decoder.tie_weights)
        self.output = Output(config.decoder.vocab_size, config.features_size, tied)

    @property
    def steps_only(self) -> bool:
        """Whether the decoder runs step by step, since it reads what depends on the step before."""
        return self.config.decoder.input_feed or self._in_front

    @property
    def specs(self) -> list[StateSpec]:
        """The tensors that a session stores."""
        return self.config.session_state()

    def encode(self, ids: Tensor) -> tuple[EncoderMemory, State]:
        """Read sources of one length: ids (N, S) -> their memory and the decoder's first state, (N, size) each."""
        sources, length = ids.shape
        *packed, state = self.encode_packed(ids.T.flatten(), [sources] * length)
        values, keys = (tensor.view(length, sources, -1).transpose(0, 1).contiguous() for tensor in packed)
        return EncoderMemory(values, keys, torch.ones_like(ids, dtype=torch.bool)), state

    def encode_packed(self, ids: Tensor, counts: Sequence[int]) -> tuple[Tensor, Tensor, State]:
        """Read sources of different lengths, the longest first.

        The ids (n,) are those of the first tokens, followed by those of the second ones, and so on; `counts` are the
        numbers of sources that have a first, a second, ... token. Returns the values (n, M) and keys (n, K) of the
        memories in the same order, and the decoder's first state, (N, size) each.
        """
        rnn = self.encoder.rnn
        values, ends = rnn.packed_sequence(self.encoder.embed(ids), counts, rnn.initial_state(counts[0], ids.device))
        keys = values if self.attention is None else self.attention.keys(values)
        state: State = self.bridge(ends)
        if self.config.decoder.input_feed:
            state["attentional"] = values.new_zeros(counts[0], self.config.features_size)
        return values, keys, state

    def step(self, ids: Tensor, state: State, memory: EncoderMemory, counts: Sequence[int]) -> Decoded:
        """Feed one token to each row: ids (R,), state (R, size) each.

        `counts` are the numbers of rows of the sources, in order. Rows of one source share its memory. Padding and
        other sources do not affect a row.
        """
        x = embedding = self.decoder.embed(ids)
        if self.config.decoder.input_feed:
            x = torch.cat([x, state["attentional"]], -1)
        if self._in_front:
            context, weights = self._attend(self._front_query(embedding, state), memory, counts)
            assert context is not None  # noqa: S101 for the type checker: there is an attention
            output, after = self.decoder.rnn.step(torch.cat([embedding, context], -1), state)
        else:
            output, after = self.decoder.rnn.step(x, state)
            context, weights = self._attend(output, memory, counts)
        features = self._combine(output, context, embedding)
        if self.config.decoder.input_feed:
            after["attentional"] = features
        return Decoded(features, weights, after)

    def sequence(self, ids: Tensor, state: State, memory: EncoderMemory) -> Decoded:
        """Feed T tokens to each source: ids (N, T) -> features (N, T, F), attention (N, T, S), state.

        Raises ValueError for a decoder that runs step by step only.
        """
        if self.steps_only:
            raise ValueError("with input feeding or attention in front a decoder goes step by step only")
        embedding = self.decoder.embed(ids)
        output, after = self.decoder.rnn.sequence(embedding, state)
        context, weights = (None, None) if self.attention is None else self.attention(output, memory)
        return Decoded(self._combine(output, context, embedding), weights, after)

    def logits(self, features: Tensor) -> Tensor:
        """Return (..., F) -> (..., V)."""
        logits: Tensor = self.output(features)
        return logits

    def _attend(
        self, output: Tensor, memory: EncoderMemory, counts: Sequence[int]
    ) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """Return context (R, M) and attention weights (R, S) of decoder outputs (R, D), None without attention."""
        if self.attention is None:
            return None, None
        sources, slots = len(counts), max(counts)
        if sources * slots == len(output):  # each source has as many rows as the others
            context, weights = self.attention(output.view(sources, slots, -1), memory)
            return context.flatten(0, 1), weights.flatten(0, 1)
        positions = [source * slots + slot for source, count in enumerate(counts) for slot in range(count)]
        index = torch.tensor(positions).to(output.device)
        queries = output.new_zeros(sources * slots, output.shape[-1]).index_copy_(0, index, output)
        context, weights = self.attention(queries.view(sources, slots, -1), memory)
        return context.flatten(0, 1).index_select(0, index), weights.flatten(0, 1).index_select(0, index)

    def _front_query(self, embedding: Tensor, state: State) -> Tensor:
        """Return what an attention in front compares the memory with: (R, D)."""
        h = state[self._last_state]
        return torch.cat([embedding, h], -1) if self.config.attention == "fixed" else h

    def _combine(self, output: Tensor, context: Tensor | None, embedding: Tensor) -> Tensor:
        parts = dict(zip(READOUT_PARTS, (context, output, embedding), strict=True))
        read = [part for name in self._readout if (part := parts[name]) is not None]
        both = read[0] if len(read) == 1 else torch.cat(read, -1)
        return both if self.combine is None else self._activation(self.combine(both))


class _Side(nn.Module):
    """An embedding and the recurrent layers that read it."""

    def __init__(self, fields: EmbeddingConfig, reads: int) -> None:
        super().__init__()
        self.embedding = make_embedding(fields.vocab_size, fields.embedding_size, one_hot=fields.one_hot)
        self.rnn = RnnStack(fields.rnn_spec().reading(reads))

    def embed(self, ids: Tensor) -> Tensor:
        """Return (...) -> (..., E)."""
        return self.embedding.embed(ids)
