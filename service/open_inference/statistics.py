"""Statistics of models as JSON of Triton's statistics extension. Times are in nanoseconds."""

from collections.abc import Callable, Mapping

from service.domain.inference_statistics import PARTS, BatchStatistics, VersionStatistics
from service.domain.models import ModelVersion
from service.domain.operations import Json


def model_statistics(
    versions: list[ModelVersion], statistics: Mapping[tuple[str, str], VersionStatistics]
) -> dict[str, Json]:
    """Return the statistics of versions; those of one without any inference are zero."""
    entries: list[Json] = [
        _entry(version, statistics.get((version.name, version.version), VersionStatistics())) for version in versions
    ]
    return {"model_stats": entries}


def _entry(version: ModelVersion, statistics: VersionStatistics) -> dict[str, Json]:
    batches = statistics.by_batch
    count = sum(batch.count for batch in batches.values())
    parts: dict[str, Json] = {part: _duration(count, _sum(batches, _part_of(part))) for part in PARTS}
    return {
        "name": version.name,
        "version": version.version,
        "last_inference": int(1000 * statistics.last),
        "inference_count": statistics.rows,
        "execution_count": count,
        "inference_stats": {
            "success": _duration(count, _sum(batches, lambda batch: batch.seconds)),
            "fail": _duration(statistics.failures, statistics.failure_seconds),
            **parts,
            "cache_hit": _duration(0, 0.0),
            "cache_miss": _duration(0, 0.0),
        },
        "response_stats": {},
        "batch_stats": [_batch(size, batches[size]) for size in sorted(batches)],
        "memory_usage": [],
    }


def _batch(size: int, batch: BatchStatistics) -> Json:
    durations: dict[str, Json] = {part: _duration(batch.count, batch.parts[part]) for part in PARTS if part != "queue"}
    return {"batch_size": size, **durations}


def _sum(batches: Mapping[int, BatchStatistics], value: Callable[[BatchStatistics], float]) -> float:
    return sum(value(batch) for batch in batches.values())


def _part_of(part: str) -> Callable[[BatchStatistics], float]:
    return lambda batch: batch.parts[part]


def _duration(count: int, seconds: float) -> Json:
    return {"count": count, "ns": int(1e9 * seconds)}
