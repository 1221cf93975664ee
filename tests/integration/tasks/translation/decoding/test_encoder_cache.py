"""The encoder cache keeps the most recently used memories, within a number of source tokens."""

import torch

from service.nets.layers.attention import EncoderMemory
from service.tasks.translation.decoding.encoder_cache import EncoderCache


def memory(source: tuple[int, ...]) -> EncoderMemory:
    values = torch.zeros(1, len(source), 2)
    return EncoderMemory(values, values, torch.ones(1, len(source), dtype=torch.bool))


def test_the_least_recently_used_memories_are_evicted_first() -> None:
    cache = EncoderCache(capacity=6)
    sources = [(1, 2), (3, 4), (5, 6)]
    for source in sources:
        cache.put(source, memory(source))
    assert cache.get((1, 2)) is not None
    cache.put((7,), memory((7,)))
    assert [cache.get(source) is not None for source in (*sources, (7,))] == [True, False, True, True]


def test_a_source_longer_than_the_capacity_is_not_kept() -> None:
    cache = EncoderCache(capacity=3)
    cache.put((1, 2, 3, 4), memory((1, 2, 3, 4)))
    assert cache.get((1, 2, 3, 4)) is None


def test_a_source_that_is_put_again_is_counted_once() -> None:
    cache = EncoderCache(capacity=3)
    cache.put((1, 2), memory((1, 2)))
    cache.put((1, 2), memory((1, 2)))
    cache.put((3,), memory((3,)))
    assert cache.get((1, 2)) is not None


def test_a_source_that_is_not_kept_leaves_the_capacity_to_others() -> None:
    cache = EncoderCache(capacity=3)
    cache.put((1, 2, 3, 4), memory((1, 2, 3, 4)))
    cache.put((1, 2, 3), memory((1, 2, 3)))
    assert cache.get((1, 2, 3)) is not None
