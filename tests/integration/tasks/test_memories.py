"""Copies of encoder memories: the last used ones stay, within a number of positions."""

import torch

from service.nets.layers.attention import EncoderMemory
from service.tasks.translation.encoder_cache import EncoderCache


def memory(source: tuple[int, ...]) -> EncoderMemory:
    rows = torch.zeros(1, len(source), 2)
    return EncoderMemory(rows, rows, torch.ones(1, len(source), dtype=torch.bool))


def test_the_longest_unused_copies_go_first() -> None:
    held = EncoderCache(capacity=6)
    sources = [(1, 2), (3, 4), (5, 6)]
    for source in sources:
        held.put(source, memory(source))
    assert held.get((1, 2)) is not None
    held.put((7,), memory((7,)))
    assert [held.get(source) is not None for source in (*sources, (7,))] == [True, False, True, True]


def test_a_source_longer_than_all_room_is_not_kept() -> None:
    held = EncoderCache(capacity=3)
    held.put((1, 2, 3, 4), memory((1, 2, 3, 4)))
    assert held.get((1, 2, 3, 4)) is None
    held.put((1, 2), memory((1, 2)))
    held.put((1, 2), memory((1, 2)))
    held.put((3,), memory((3,)))
    assert held.get((1, 2)) is not None
