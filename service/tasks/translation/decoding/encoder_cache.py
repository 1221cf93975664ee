"""LRU cache of encoder memories, so that a step of a session need not encode its source again."""

from collections import OrderedDict

from service.nets.layers.attention import EncoderMemory


class EncoderCache:
    """The most recently used encoder memories by source; together they have at most `capacity` source tokens."""

    def __init__(self, capacity: int = 4096) -> None:
        self._capacity = capacity
        self._size = 0
        self._memories: OrderedDict[tuple[int, ...], EncoderMemory] = OrderedDict()

    def get(self, source: tuple[int, ...]) -> EncoderMemory | None:
        """Return the memory of a source, or None if it is not cached."""
        memory = self._memories.get(source)
        if memory is not None:
            self._memories.move_to_end(source)
        return memory

    def put(self, source: tuple[int, ...], memory: EncoderMemory) -> None:
        """Add the memory of a source, and evict the least recently used ones beyond the capacity."""
        if source not in self._memories:
            self._memories[source] = memory
            self._size += len(source)
        while self._size > self._capacity:
            self._size -= len(self._memories.popitem(last=False)[0])
