"""Where a translation session stands, as a value and as bytes."""

import struct
from dataclasses import dataclass

import torch
from torch import Tensor

from service.domain.errors import StateCorrupted
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
    """Little-endian: the header, the source's ids as 32-bit integers, the decoder's row as float32."""

    def __init__(self, layout: StateLayout, source_vocabulary: int, target_vocabulary: int) -> None:
        self._layout = layout
        self._vocabularies = (source_vocabulary, target_vocabulary)

    def to_bytes(self, position: TranslationState) -> bytes:
        """Return the bytes that a session stores."""
        header = HEADER.pack(len(position.source), position.accepted, position.pending)
        ids = struct.pack(f"<{len(position.source)}I", *position.source)
        return header + ids + self._layout.to_bytes(position.decoder)

    def from_bytes(self, raw: bytes) -> TranslationState:
        """Return what `raw` holds. Raises StateCorrupted for a wrong length, id or number."""
        if len(raw) < HEADER.size:
            raise StateCorrupted(f"the stored state has {len(raw)} bytes, expected at least {HEADER.size}")
        count, accepted, pending = HEADER.unpack_from(raw)
        start = HEADER.size + 4 * count
        if len(raw) != start + self._layout.bytes:
            raise StateCorrupted(f"the stored state has {len(raw)} bytes, expected {start + self._layout.bytes}")
        source = struct.unpack_from(f"<{count}I", raw, HEADER.size)
        if not source or max(source) >= self._vocabularies[0] or pending >= self._vocabularies[1]:
            raise StateCorrupted("the stored state holds an id outside the vocabulary; the record is kept")
        return TranslationState(source, accepted, pending, self._layout.from_bytes(raw[start:]))

    def to_tensors(self, position: TranslationState) -> dict[str, Tensor]:
        """Return the decoder's tensors, the ids of the `source`, how many were `accepted`, and the `pending` id."""
        return {
            **self._layout.to_tensors(position.decoder),
            "source": torch.tensor(position.source),
            "accepted": torch.tensor(position.accepted),
            "pending": torch.tensor(position.pending),
        }

    def from_tensors(self, given: ImportedTensors, longest: int) -> TranslationState:
        """Return what an imported state tells. Raises InvalidRequest for a tensor that does not fit.

        `longest` is the most ids that a source may have.
        """
        source = given.ids("source", longest, self._vocabularies[0])
        accepted = given.integer("accepted", 0, MAX_ACCEPTED)
        pending = given.integer("pending", 0, self._vocabularies[1] - 1)
        return TranslationState(source, accepted, pending, self._layout.from_tensors(given))


def at_source(source: tuple[int, ...], begin: int, decoder: Tensor) -> TranslationState:
    """Return state 0 of a session."""
    return TranslationState(source, 0, begin, torch.clone(decoder))
