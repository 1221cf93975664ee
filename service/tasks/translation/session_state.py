"""Where a translation session stands, as a value and as bytes."""

import struct
from dataclasses import dataclass

import torch
from torch import Tensor

from service.domain.errors import InvalidRequest, StateCorrupted
from service.tasks.imported_tensors import ImportedTensors
from service.tasks.state_layout import StateLayout

#: Source tokens, target tokens fed, the target token that is fed next.
HEADER = struct.Struct("<III")
#: More target tokens than any sentence has, and few enough to be counted on.
MAX_ACCEPTED = 2**31


@dataclass(frozen=True, slots=True)
class TranslationState:
    """The source, how many target tokens were accepted, and the decoder's state before the last of them.

    `pending` is that last one, or the begin mark: feeding it is how the network tells what it expects next.
    """

    source: tuple[int, ...]
    accepted: int
    pending: int
    decoder: Tensor


class TranslationStateCodec:
    """Encodes translation states.

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
        """Return the state that `raw` holds. Raises StateCorrupted for a wrong length, id or number."""
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
        """Return the decoder's tensors, the ids of the `source`, how many were `accepted`, and the `pending` id."""
        return {
            **self._layout.to_tensors(state.decoder),
            "source": torch.tensor(state.source),
            "accepted": torch.tensor(state.accepted),
            "pending": torch.tensor(state.pending),
        }

    def from_tensors(self, tensors: ImportedTensors) -> TranslationState:
        """Return the state that `tensors` hold. Raises InvalidRequest for a tensor that does not fit."""
        source = tensors.take_ids("source", self._max_source_tokens, self._vocabularies[0])
        accepted = tensors.take_int("accepted", 0, MAX_ACCEPTED)
        pending = tensors.take_int("pending", 0, self._vocabularies[1] - 1)
        return TranslationState(source, accepted, pending, self._layout.from_tensors(tensors))


def at_source(source: tuple[int, ...], begin: int, decoder: Tensor) -> TranslationState:
    """Return state 0 of a session."""
    return TranslationState(source, 0, begin, torch.clone(decoder))
