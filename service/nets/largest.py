"""The largest entries of long rows."""

import torch
from torch import Tensor

#: Width of the blocks; `topk` takes less time for shorter rows, and for more entries.
BLOCK = 64
MIN_WIDTH = 8192
MAX_COUNT = 32


def largest(rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the `count` largest values of each row, largest first, and their indices: (B, V) -> (B, count) each.

    They lie in the `count` blocks of a row that have the largest maxima. Maxima take vector instructions, which `topk`
    does not use. What it returns of a row does not depend on the others, also among equal values.
    """
    width = rows.shape[1]
    if width < MIN_WIDTH or count > MAX_COUNT:
        values, indices = rows.topk(count)
        return values, indices
    blocks = width // BLOCK
    maxima = rows[:, : blocks * BLOCK].reshape(-1, blocks, BLOCK).amax(2)
    best = maxima.topk(count, sorted=False).indices
    columns = (best[:, :, None] * BLOCK + torch.arange(BLOCK)).flatten(1)
    rest = torch.arange(blocks * BLOCK, width).expand(len(rows), -1)  # behind the last whole block
    columns = torch.cat([columns, rest], 1)
    values, positions = rows.gather(1, columns).topk(count)
    return values, columns.gather(1, positions)
