"""Series for each alert, in promtool's notation: some that must make it fire, and some like them that must not.

An alert is examined at the minute that stands beside it.
"""

from dataclasses import dataclass

Series = dict[str, str]
UP = 'up{job="unroll", instance="a"}'
OTHER_UP = 'up{job="unroll", instance="b"}'
ALWAYS = "1+0x120"
BUSY = "0+600x120"
STEPS = 'job="unroll", route="/v1/sessions/{session_id}/steps"'
REQUESTS = 'unroll_requests_total{job="unroll", route="/v1/models", method="GET", code="%s"}'
MODEL = 'job="unroll", instance="a", model="m", version="1"'
#: Three days and an hour, in quarters of an hour.
DAYS = (3 * 24 + 1) * 4


@dataclass(frozen=True)
class Case:
    """Series that make an alert fire at a minute, and series that do not; `interval` minutes lie between samples."""

    at: int
    bad: Series
    fine: Series
    interval: int = 1


def histogram(name: str, labels: str, slow: bool) -> Series:
    """Return buckets whose observations lie between 1 and 2, or below 0.1."""
    counts = {"0.1": not slow, "1.0": not slow, "2.0": True, "+Inf": True}
    return {f'{name}_bucket{{{labels}, le="{edge}"}}': BUSY if below else "0+0x120" for edge, below in counts.items()}


def share(part: str, whole: str, percent: float) -> Series:
    """Return counters of which one is so many percent of the other."""
    return {part: f"0+{6 * percent:g}x120", whole: BUSY}


def quality(total: str, count: str, card: str, value: float) -> Series:
    """Return counters whose quotient is `value`, and the model card's figure 10."""
    return {
        f"{total}{{{MODEL}}}": f"0+{value * 600:g}x120",
        f"{count}{{{MODEL}}}": BUSY,
        f'unroll_model_card_metric{{{MODEL}, metric="{card}"}}': "10+0x120",
    }


def errors(percent: float, samples: int) -> Series:
    """Return requests of which so many percent are answered 503."""
    return {
        REQUESTS % "503": f"0+{6 * percent:g}x{samples}",
        REQUESTS % "200": f"0+{600 - 6 * percent:g}x{samples}",
    }


def slow_steps(percent: float, samples: int) -> Series:
    """Return steps of which so many percent take longer than 0.5 s."""
    return {
        f'unroll_request_duration_seconds_bucket{{{STEPS}, le="0.5"}}': f"0+{600 - 6 * percent:g}x{samples}",
        f"unroll_request_duration_seconds_count{{{STEPS}}}": f"0+600x{samples}",
    }


def fallen(before: float, after: float) -> Series:
    """Return the errors of forecasts that were `before` for two hours, and are `after` for an hour and a half."""
    first, second = before * 600, after * 600
    return {
        f"unroll_observed_absolute_error_total{{{MODEL}}}": f"0+{first:g}x120 {first * 120:g}+{second:g}x90",
        f"unroll_observed_values_total{{{MODEL}}}": "0+600x210",
    }


REPLACED = 'unroll_workers_replaced_total{job="unroll", instance="a", reason="died"}'
LOADED = 'unroll_model_loaded{job="unroll", instance="%s", model="m", version="2", fingerprint="f"}'
STORE_CALLS = 'unroll_store_duration_seconds_count{job="unroll", operation="write"}'
STORE_ERRORS = 'unroll_store_errors_total{job="unroll", code="%s"}'
USED, LIMIT = 'unroll_store_memory_bytes{job="unroll"}', 'unroll_store_memory_limit_bytes{job="unroll"}'
SCORES = 'unroll_anomaly_score_bucket{%s, le="0.99"}' % MODEL  # noqa: UP031 - braces of PromQL
OBSERVED = f"unroll_anomaly_score_count{{{MODEL}}}"
EXPIRY, DAY = 'unroll_certificate_expiry_timestamp_seconds{job="unroll", instance="a"}', 86_400
RELOADED = 'unroll_last_reload_successful{job="unroll", instance="a", file="api_keys"}'
READY = 'haproxy_backend_active_servers{job="haproxy", proxy="ready"}'

CASES = {
    "UnrollDown": Case(15, {UP: "1+0x10 0+0x20"}, {UP: "0+0x40", OTHER_UP: ALWAYS}),
    "UnrollReplicaDown": Case(15, {UP: "1+0x10 0+0x20", OTHER_UP: ALWAYS}, {UP: ALWAYS}),
    "UnrollProxyDown": Case(15, {'up{job="haproxy", instance="h"}': "0+0x40"}, {'up{job="haproxy"}': ALWAYS}),
    "UnrollNoReplicaReady": Case(15, {READY: "2+0x10 0+0x20"}, {READY: ALWAYS}),
    "UnrollInternalErrors": Case(25, {REQUESTS % "500": "_x20 1+0x20"}, {REQUESTS % "500": "1+0x60"}),
    "UnrollWorkerReplaced": Case(25, {REPLACED: "0+0x20 1+0x20"}, {REPLACED: "1+0x60"}),
    "UnrollWorkersKeepDying": Case(25, {REPLACED: "0+0x20 5+0x20"}, {REPLACED: "0+0x20 2+0x20"}),
    "UnrollReplicasDiffer": Case(
        40,
        {UP: ALWAYS, OTHER_UP: ALWAYS, LOADED % "a": ALWAYS},
        {UP: ALWAYS, OTHER_UP: ALWAYS, LOADED % "a": ALWAYS, LOADED % "b": ALWAYS},
    ),
    "UnrollShedding": Case(
        30,
        share('unroll_shed_total{job="unroll", reason="overloaded"}', REQUESTS % "200", 5),
        share('unroll_shed_total{job="unroll", reason="shutting_down"}', REQUESTS % "200", 5),
    ),
    "UnrollRateLimited": Case(
        30, share(REQUESTS % "429", REQUESTS % "200", 20), share(REQUESTS % "429", REQUESTS % "200", 2)
    ),
    "UnrollQueueSlow": Case(
        30, histogram("unroll_queue_wait_seconds", MODEL, True), histogram("unroll_queue_wait_seconds", MODEL, False)
    ),
    "UnrollEventLoopLag": Case(
        30,
        histogram("unroll_event_loop_lag_seconds", 'job="unroll", instance="a"', True),
        histogram("unroll_event_loop_lag_seconds", 'job="unroll", instance="a"', False),
    ),
    "UnrollWorkerMemory": Case(
        30,
        {"unroll_worker_memory_bytes": "95+0x120", "unroll_worker_memory_limit_bytes": "100+0x120"},
        {"unroll_worker_memory_bytes": "95+0x120", "unroll_worker_memory_limit_bytes": "Inf+0x120"},
    ),
    "UnrollConflicts": Case(
        30,
        share('unroll_session_steps_total{outcome="conflict"}', 'unroll_session_steps_total{outcome="applied"}', 20),
        share('unroll_session_steps_total{outcome="replayed"}', 'unroll_session_steps_total{outcome="applied"}', 20),
    ),
    "UnrollCertificateExpires": Case(30, {EXPIRY: f"{13 * DAY}+0x60"}, {EXPIRY: f"{15 * DAY}+0x60"}),
    "UnrollCertificateExpiresSoon": Case(30, {EXPIRY: f"{DAY}+0x60"}, {EXPIRY: f"{13 * DAY}+0x60"}),
    "UnrollReloadFailed": Case(30, {RELOADED: "1+0x10 0+0x60"}, {RELOADED: "1+0x10 0+0x3 1+0x60"}),
    "UnrollStoreDown": Case(15, {'unroll_store_up{job="unroll"}': "1+0x10 0+0x20"}, {"unroll_store_up": ALWAYS}),
    "UnrollStoreErrors": Case(
        30,
        share(STORE_ERRORS % "store_unavailable", STORE_CALLS, 5),
        share(STORE_ERRORS % "store_unavailable", STORE_CALLS, 0.5),
    ),
    "UnrollStoreSlow": Case(
        30,
        histogram("unroll_store_duration_seconds", 'job="unroll", operation="write"', True),
        histogram("unroll_store_duration_seconds", 'job="unroll", operation="write"', False),
    ),
    "UnrollStoreFilling": Case(30, {USED: "85+0x60", LIMIT: "100+0x60"}, {USED: "75+0x60", LIMIT: "100+0x60"}),
    "UnrollStoreFull": Case(30, {USED: "97+0x60", LIMIT: "100+0x60"}, {USED: "85+0x60", LIMIT: "100+0x60"}),
    "UnrollStoreWithoutLimit": Case(30, {LIMIT: "Inf+0x60"}, {LIMIT: "100+0x60"}),
    "UnrollStoreNotPersistent": Case(30, {"unroll_store_append_only": "0+0x60"}, {"unroll_store_append_only": ALWAYS}),
    "UnrollDurabilityNotReached": Case(
        25, {STORE_ERRORS % "durability_not_reached": "_x20 1+0x20"}, {STORE_ERRORS % "store_full": "_x20 1+0x20"}
    ),
    "UnrollPerplexityAboveCard": Case(
        100,
        quality("unroll_observed_logprob_total", "unroll_observed_tokens_total", "test_perplexity", 3.4),  # e**3.4 = 30
        quality("unroll_observed_logprob_total", "unroll_observed_tokens_total", "test_perplexity", 2.4),
    ),
    "UnrollForecastErrorAboveCard": Case(
        100,
        quality("unroll_observed_absolute_error_total", "unroll_observed_values_total", "test_mae_at.1", 30),
        quality("unroll_observed_absolute_error_total", "unroll_observed_values_total", "test_mae_at.1", 15),
    ),
    "UnrollAnomalies": Case(100, {SCORES: "0+540x120", OBSERVED: BUSY}, {SCORES: "0+594x120", OBSERVED: BUSY}),
    "UnrollQualityFell": Case(205, fallen(1, 3), fallen(1, 1.2)),
    "UnrollErrorBudgetBurnsFast": Case(90, errors(2, 120), errors(0.5, 120)),
    "UnrollErrorBudgetBurnsSlowly": Case(15 * DAYS, errors(0.2, DAYS), errors(0.05, DAYS), 15),
    "UnrollLatencyBudgetBurnsFast": Case(90, slow_steps(20, 120), slow_steps(5, 120)),
    "UnrollLatencyBudgetBurnsSlowly": Case(15 * DAYS, slow_steps(2, DAYS), slow_steps(0.5, DAYS), 15),
}
