"""REF-LM for the peers: its weights, a batch's states as bytes and back, and the five most probable words."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.ref_lm import LAYERS, ReferenceLM, load

TOP = 5


class Network:
    """REF-LM by `torch.nn`, one word for each session of a batch."""

    def __init__(self, folder: Path) -> None:
        self._network: ReferenceLM = load(folder)
        self.hidden = self._network.rnn.hidden_size

    @torch.inference_mode()
    def step(self, ids: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Feed ids (B,) with h and c (L, B, H). Return ids and probabilities of the best words (B, 5), new h and c."""
        logits, (hidden, cell) = self._network(ids[:, None], (hidden, cell))
        best = logits[:, 0].softmax(-1).topk(TOP)
        return best.indices, best.values, hidden, cell

    def unpack(self, records: Sequence[bytes | None]) -> tuple[Tensor, Tensor]:
        """Return h and c (L, B, H) of stored states; a session without one starts from zeros."""
        empty = bytes(4 * 2 * LAYERS * self.hidden)
        rows = [torch.frombuffer(bytearray(empty if raw is None else raw), dtype=torch.float32) for raw in records]
        hidden, cell = torch.stack(rows).view(len(rows), 2, LAYERS, self.hidden).permute(1, 2, 0, 3)
        return hidden.contiguous(), cell.contiguous()

    def pack(self, hidden: Tensor, cell: Tensor) -> list[bytes]:
        """Return each session's state as it is stored: h of all layers, c of all layers."""
        rows = torch.stack([hidden, cell]).permute(2, 0, 1, 3).contiguous()
        return [row.numpy().tobytes() for row in rows]


def answer(ids: Tensor, probabilities: Tensor) -> dict[str, list[dict[str, int | float]]]:
    """Return the predictions of one row as JSON values."""
    pairs = zip(ids.tolist(), probabilities.tolist(), strict=True)
    return {"predictions": [{"id": word, "probability": probability} for word, probability in pairs]}
