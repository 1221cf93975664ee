"""Session state of a translation, and its serialisation."""

import struct
from dataclasses import dataclass

import torch
from torch import Tensor

from service.domain.errors import InvalidRequest, StateCorrupted
from service.tasks.imported_tensors import ImportedTensors
from service.tasks.state_layout import StateLayout

#: The numbers of source tokens and of accepted target tokens, and the target token that is fed next.
HEADER = struct.Struct("<III")
#: More target tokens than any sentence has; counting on from here does not overflow.
MAX_ACCEPTED = 2**31


@dataclass(frozen=True, slots=True)
class TranslationState:
    """The state of a session: source ids, number of accepted target tokens, and decoder state (total,).

    `pending` is the last accepted token, or the begin token. It has yet to be fed to the decoder state, which gives the
    probabilities of the next token.
    """

    source: tuple[int, ...]
    accepted: int
    pending: int
    decoder: Tensor


class TranslationStateCodec:
    """Encodes translation states as bytes and as named tensors.

    The stored bytes are little-endian: the header, the source's ids as 32-bit integers and the decoder's state as
    float32. An imported source has at most `max_source_tokens` ids.
    """

    def __init__(
        self, layout: StateLayout, source_vocabulary: int, target_vocabulary: int, max_source_tokens: int
    ) -> None:
        self._layout = layout
        self._vocabularies = (source_vocabulary, target_vocabulary)
        self._max_source_tokens = max_source_tokens

    @property
    def state_bytes(self) -> int:
        """The size of the decoder's state in bytes."""
        return self._layout.state_bytes

    def to_bytes(self, state: TranslationState | None) -> bytes:
        """Return the bytes that a session stores. Raises InvalidRequest if no source was read."""
        if state is None:
            raise InvalidRequest(
                "input is missing: a session of a translation model is created with its source sentence", param="input"
            )
        header = HEADER.pack(len(state.source), state.accepted, state.pending)
        ids = struct.pack(f"<{len(state.source)}I", *state.source)
        return header + ids + self._layout.to_bytes(state.decoder)

    def from_bytes(self, raw: bytes) -> TranslationState:
        """Return the state of a session's bytes. Raises StateCorrupted for a wrong length, id or number."""
        if len(raw) < HEADER.size:
            raise StateCorrupted(f"the stored state has {len(raw)} bytes, expected at least {HEADER.size}")
        count, accepted, pending = HEADER.unpack_from(raw)
        start = HEADER.size + 4 * count
        if len(raw) != start + self._layout.state_bytes:
            raise StateCorrupted(f"the stored state has {len(raw)} bytes, expected {start + self._layout.state_bytes}")
        source = struct.unpack_from(f"<{count}I", raw, HEADER.size)
        if not source or max(source) >= self._vocabularies[0] or pending >= self._vocabularies[1]:
            raise StateCorrupted("the stored state holds an id outside the vocabulary; the record is kept")
        return TranslationState(source, accepted, pending, self._layout.from_bytes(raw[start:]))

    def to_tensors(self, state: TranslationState) -> dict[str, Tensor]:
        """Return the decoder's tensors, the ids `source`, the number `accepted` and the id `pending`."""
        return {
            **self._layout.to_tensors(state.decoder),
            "source": torch.tensor(state.source),
            "accepted": torch.tensor(state.accepted),
            "pending": torch.tensor(state.pending),
        }

    def from_tensors(self, tensors: ImportedTensors) -> TranslationState:
        """Return an imported state. Raises InvalidRequest for a tensor that does not fit."""
        source = tensors.take_ids("source", self._max_source_tokens, self._vocabularies[0])
        accepted = tensors.take_int("accepted", 0, MAX_ACCEPTED)
        pending = tensors.take_int("pending", 0, self._vocabularies[1] - 1)
        return TranslationState(source, accepted, pending, self._layout.from_tensors(tensors))


def initial_translation_state(source: tuple[int, ...], begin: int, decoder: Tensor) -> TranslationState:
    """Return the state of a session without accepted tokens; `decoder` (total,) is the decoder's first state."""
    return TranslationState(source, 0, begin, torch.clone(decoder))
