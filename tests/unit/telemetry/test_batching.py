"""Metrics that are updated once for each turn of the event loop."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram

from service.telemetry.batching import BatchHistogram, MetricsBatch

BOUNDS = (0.1, 0.5, 1.0)
VALUES = [0.05, 0.1, 0.3, 0.5, 0.50001, 1.0, 2.0, 100.0]


def samples(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels.get("le", "")): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }


def test_many_observations_count_as_one_after_the_other_would() -> None:
    together, apart = CollectorRegistry(), CollectorRegistry()
    BatchHistogram("seconds", "Seconds", buckets=BOUNDS, registry=together).observe_all(VALUES)
    histogram = Histogram("seconds", "Seconds", buckets=BOUNDS, registry=apart)
    for value in VALUES:
        histogram.observe(value)
    assert samples(together) == pytest.approx(samples(apart))


def test_changes_apply_at_once_where_no_event_loop_runs() -> None:
    registry = CollectorRegistry()
    counter = Counter("steps", "Steps", registry=registry)
    MetricsBatch().count(counter, 2)
    assert samples(registry)["steps_total", ""] == 2


async def test_changes_of_one_turn_apply_together_by_the_next() -> None:
    registry, batch = CollectorRegistry(), MetricsBatch()
    counter = Counter("steps", "Steps", registry=registry)
    histogram = BatchHistogram("seconds", "Seconds", buckets=BOUNDS, registry=registry)
    for value in VALUES:
        batch.count(counter)
        batch.observe(histogram, value)
    assert samples(registry)["steps_total", ""] == 0
    await asyncio.sleep(0)
    assert samples(registry)["steps_total", ""] == len(VALUES)
    assert samples(registry)["seconds_count", ""] == len(VALUES)


async def test_a_flush_applies_what_is_waiting_and_only_once() -> None:
    registry, batch = CollectorRegistry(), MetricsBatch()
    counter = Counter("steps", "Steps", registry=registry)
    batch.count(counter)
    batch.flush()
    assert samples(registry)["steps_total", ""] == 1
    await asyncio.sleep(0)
    assert samples(registry)["steps_total", ""] == 1
