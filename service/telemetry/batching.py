"""Counters and histograms that are updated once for each turn of the event loop.

A busy worker counts a dozen things for every request. Workers that share their metrics keep each figure in a mapped
file, where a change costs about a microsecond. The changes of one turn are therefore added up first.
"""

import asyncio
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence

from prometheus_client import Counter, Gauge, Histogram


class BatchHistogram(Histogram):
    """Histogram that takes many observations at once."""

    def observe_all(self, values: Sequence[float]) -> None:
        """Observe every value: the sum and each bucket concerned are changed once."""
        counts: defaultdict[int, int] = defaultdict(int)
        for value in values:
            # A bucket holds the values up to its bound. The last bound is infinity.
            counts[bisect_left(self._upper_bounds, value)] += 1
        self._sum.inc(sum(values))
        for index, count in counts.items():
            self._buckets[index].inc(count)


class MetricsBatch:
    """Changes of counters and histograms that are applied together."""

    def __init__(self) -> None:
        self._counts: dict[Counter | Gauge, float] = {}
        self._observations: dict[BatchHistogram, list[float]] = {}
        self._scheduled = False

    def count(self, counter: Counter | Gauge, amount: float = 1.0) -> None:
        """Add `amount` to a counter or gauge, by the next turn of the event loop; at once where no loop runs."""
        self._counts[counter] = self._counts.get(counter, 0.0) + amount
        self._schedule()

    def observe(self, histogram: BatchHistogram, value: float) -> None:
        """Add an observation to a histogram, likewise."""
        values = self._observations.get(histogram)
        if values is None:
            self._observations[histogram] = [value]
        else:
            values.append(value)
        self._schedule()

    def flush(self) -> None:
        """Apply all changes now."""
        self._scheduled = False
        counts, self._counts = self._counts, {}
        observations, self._observations = self._observations, {}
        for counter, amount in counts.items():
            counter.inc(amount)
        for histogram, values in observations.items():
            histogram.observe_all(values)

    def _schedule(self) -> None:
        if self._scheduled:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            self._scheduled = True
            loop.call_soon(self.flush)
