"""Copies of what encoders remember of the sources of live sessions, so that a step need not read them again."""

from collections import OrderedDict

from service.nets.layers.attention import EncoderMemory


class EncoderCache:
    """The last used memories, as many as have `capacity` source positions together."""

    def __init__(self, capacity: int = 4096) -> None:
        self._capacity = capacity
        self._held = 0
        self._memories: OrderedDict[tuple[int, ...], EncoderMemory] = OrderedDict()

    def get(self, source: tuple[int, ...]) -> EncoderMemory | None:
        """Return the memory of a source, if there is a copy."""
        memory = self._memories.get(source)
        if memory is not None:
            self._memories.move_to_end(source)
        return memory

    def put(self, source: tuple[int, ...], memory: EncoderMemory) -> None:
        """Keep a copy, and let the longest unused ones go."""
        if source not in self._memories:
            self._memories[source] = memory
            self._held += len(source)
        while self._held > self._capacity:
            self._held -= len(self._memories.popitem(last=False)[0])
