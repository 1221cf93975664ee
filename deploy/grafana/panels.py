"""Panels of the dashboard: their titles, and what they ask Prometheus. dashboard.py makes Grafana's JSON of them."""

from dataclasses import dataclass
from typing import Literal

#: Selectors by the variables of the dashboard.
REPLICA = 'job="unroll", instance=~"$instance"'
VERSION = f'{REPLICA}, model=~"$model", version=~"$version"'
#: Labels of recorded figures, which belong to no replica.
RECORDED = 'model=~"$model", version=~"$version"'
STEPS = 'route="/v1/sessions/{session_id}/steps"'
NO_PROBE = 'route!~"/health/.*|/metrics"'
OF_VERSION = "{{model}} {{version}}"


@dataclass(frozen=True)
class Query:
    """Query of a panel, and the legend of the series that it returns."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """Panel of lines or states over time, or of one number. `alarm` is the value from which an alert would fire."""

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    description: str = ""
    kind: Literal["lines", "states", "number"] = "lines"
    alarm: float | None = None


def quantile(q: float, metric: str, labels: str, selector: str) -> str:
    """Return the query of a quantile of a histogram, by `labels`."""
    by = f"{labels}, le" if labels else "le"
    return f"histogram_quantile({q}, sum by ({by}) (rate({metric}_bucket{{{selector}}}[$__rate_interval])))"


def rate(metric: str, labels: str, selector: str) -> str:
    """Return the query of a rate per second, by `labels`."""
    return f"sum by ({labels}) (rate({metric}{{{selector}}}[$__rate_interval]))"


def mean(metric: str, labels: str, selector: str) -> str:
    """Return the query of the mean of a histogram, by `labels`."""
    return f"{rate(f'{metric}_sum', labels, selector)} / {rate(f'{metric}_count', labels, selector)}"


def by_the_week_before(figure: str) -> str:
    """Return the query of a recorded figure by its own average of the last seven days."""
    recorded = f"{figure}{{{RECORDED}}}"
    return f"{recorded} / avg_over_time({recorded}[7d] offset 1h)"


def number(title: str, expr: str, unit: str = "short", alarm: float | None = None) -> Panel:
    """Return a panel that shows one number."""
    return Panel(title, (Query(expr, ""),), unit, kind="number", alarm=alarm)


def lines(
    title: str, *queries: tuple[str, str], unit: str = "short", description: str = "", alarm: float | None = None
) -> Panel:
    """Return a panel of lines. Each query is an expression and its legend."""
    return Panel(title, tuple(Query(*query) for query in queries), unit, description, alarm=alarm)


OVERVIEW = (
    number("Replicas up", 'sum(up{job="unroll"})'),
    number("Requests", f"sum(rate(unroll_requests_total{{{REPLICA}}}[$__rate_interval]))", "reqps"),
    number("Requests answered 5xx", "job:unroll_request_errors:ratio_rate5m", "percentunit", 0.0144),
    number("Steps over 0.5 s", "job:unroll_slow_steps:ratio_rate5m", "percentunit", 0.144),
    number("Live sessions", 'max(unroll_sessions_active{job="unroll"})'),
    number("Alerts firing", 'count(ALERTS{alertname=~"Unroll.*", alertstate="firing"}) or vector(0)', alarm=1),
)

OBJECTIVES = (
    lines(
        "Burn rate of the error budget",
        *((f"job:unroll_request_errors:ratio_rate{window} / 0.001", window) for window in ("5m", "1h", "6h", "3d")),
        description="1 spends the budget of 30 days in 30 days. 14.4 for an hour, or 6 for six hours, wakes somebody.",
        alarm=14.4,
    ),
    lines(
        "Burn rate of the latency budget",
        *((f"job:unroll_slow_steps:ratio_rate{window} / 0.01", window) for window in ("5m", "1h", "6h", "3d")),
        description="The same for session steps that take longer than 0.5 s.",
        alarm=14.4,
    ),
    Panel(
        "Alerts firing",
        (Query('max by (alertname) (ALERTS{alertname=~"Unroll.*", alertstate="firing"})', "{{alertname}}"),),
        description="Each has an entry in docs/runbook.md.",
        kind="states",
    ),
)

TRAFFIC = (
    lines("Requests by route", (rate("unroll_requests_total", "route", REPLICA), "{{route}}"), unit="reqps"),
    lines("Requests by status", (rate("unroll_requests_total", "code", REPLICA), "{{code}}"), unit="reqps"),
    lines(
        "In progress",
        (f"sum(unroll_requests_in_flight{{{REPLICA}}})", "requests"),
        (f"sum(unroll_websockets{{{REPLICA}}})", "WebSockets"),
    ),
    lines(
        "Timesteps",
        (rate("unroll_timesteps_total", "model, version", VERSION), OF_VERSION),
        unit="cps",
        description="Tokens or observations fed to the network, per second.",
    ),
    lines(
        "Tokens generated",
        (rate("unroll_generated_tokens_total", "model, version", VERSION), OF_VERSION),
        unit="cps",
    ),
)

ERRORS = (
    lines(
        "Requests answered 5xx",
        (rate("unroll_requests_total", "code, route", f'{REPLICA}, code=~"5.."'), "{{code}} {{route}}"),
        unit="reqps",
    ),
    lines(
        "Requests answered 4xx",
        (rate("unroll_requests_total", "code, route", f'{REPLICA}, code=~"4.."'), "{{code}} {{route}}"),
        unit="reqps",
    ),
    lines(
        "Answers of the proxy",
        (rate("haproxy_frontend_http_responses_total", "code", 'proxy="service"'), "{{code}}"),
        unit="reqps",
        description="What clients get, also while no replica answers.",
    ),
    lines(
        "Replicas in the eyes of the proxy",
        ('max by (proxy) (haproxy_backend_active_servers{proxy=~"ready|alive"})', "{{proxy}}"),
    ),
    lines(
        "Time until the certificate expires",
        (f"min by (instance) (unroll_certificate_expiry_timestamp_seconds{{{REPLICA}}}) - time()", "{{instance}}"),
        unit="s",
        description="Of replicas that end TLS themselves. Alerts fire below the line.",
        alarm=14 * 86_400,
    ),
    lines(
        "Certificate and keys as in their files",
        (f"min by (instance, file) (unroll_last_reload_successful{{{REPLICA}}})", "{{instance}} {{file}}"),
        description="0: the file has changed and cannot be used; what was read before stays in use.",
    ),
)

LATENCY = (
    lines(
        "Session steps",
        *(
            (quantile(q, "unroll_request_duration_seconds", "", f"{REPLICA}, {STEPS}"), f"p{q * 100:.0f}")
            for q in (0.5, 0.95, 0.99)
        ),
        unit="s",
        alarm=0.5,
    ),
    lines(
        "p95 by route",
        (quantile(0.95, "unroll_request_duration_seconds", "route", f"{REPLICA}, {NO_PROBE}"), "{{route}}"),
        unit="s",
    ),
    lines(
        "Wait for the engine, p95",
        (quantile(0.95, "unroll_queue_wait_seconds", "model, version", VERSION), OF_VERSION),
        unit="s",
        alarm=0.5,
    ),
    lines(
        "One forward pass",
        *(
            (quantile(q, "unroll_forward_duration_seconds", "model, version", VERSION), f"{OF_VERSION} p{q * 100:.0f}")
            for q in (0.5, 0.99)
        ),
        unit="s",
    ),
    lines(
        "Time to the first token of a stream, p95",
        (quantile(0.95, "unroll_time_to_first_token_seconds", "model, version", VERSION), OF_VERSION),
        unit="s",
    ),
)

SATURATION = (
    lines("Operations in the engine", (f"sum by (instance) (unroll_queue_depth{{{REPLICA}}})", "{{instance}}")),
    lines(
        "Operations in a forward pass, mean",
        (mean("unroll_batch_size", "model, version", VERSION), OF_VERSION),
        description="How full batches are. UNROLL_MAX_BATCH bounds them.",
    ),
    lines(
        "Requests refused for lack of room or time",
        (rate("unroll_shed_total", "reason", REPLICA), "{{reason}}"),
        unit="reqps",
    ),
    lines(
        "Share of requests answered 429",
        ("job:unroll_rate_limited:ratio_rate5m", "429"),
        unit="percentunit",
        alarm=0.05,
    ),
    lines(
        "Lag of event loops",
        *(
            (quantile(q, "unroll_event_loop_lag_seconds", "instance", REPLICA), f"{{{{instance}}}} p{q * 100:.0f}")
            for q in (0.5, 0.99)
        ),
        unit="s",
        alarm=0.2,
    ),
    lines(
        "Memory of the largest worker",
        (f"unroll_worker_memory_bytes{{{REPLICA}}}", "{{instance}}"),
        (f"unroll_worker_memory_limit_bytes{{{REPLICA}}} < Inf", "limit of {{instance}}"),
        unit="bytes",
    ),
    lines(
        "Workers replaced",
        (
            f"sum by (instance, reason) (increase(unroll_workers_replaced_total{{{REPLICA}}}[$__rate_interval]))",
            "{{instance}} {{reason}}",
        ),
    ),
)

SESSIONS = (
    lines("Live sessions", ('max(unroll_sessions_active{job="unroll"})', "sessions")),
    lines(
        "Sessions created and ended",
        (rate("unroll_sessions_created_total", "model", f'{REPLICA}, model=~"$model"'), "created {{model}}"),
        (rate("unroll_sessions_ended_total", "reason", REPLICA), "{{reason}}"),
        unit="cps",
    ),
    lines("Steps by outcome", (rate("unroll_session_steps_total", "outcome", REPLICA), "{{outcome}}"), unit="cps"),
    lines(
        "Share of steps that conflict",
        ("job:unroll_step_conflicts:ratio_rate5m", "conflicts"),
        unit="percentunit",
        alarm=0.05,
    ),
    lines(
        "Records by where they were found",
        (rate("unroll_session_cache_total", "outcome", REPLICA), "{{outcome}}"),
        unit="cps",
        description="`hit`: held by this worker; `stale`: another worker went on; `miss`: read from the store.",
    ),
)

STORE = (
    lines("Store reached", (f"min by (instance) (unroll_store_up{{{REPLICA}}})", "{{instance}}")),
    lines(
        "Calls of the store, p99",
        (quantile(0.99, "unroll_store_duration_seconds", "operation", REPLICA), "{{operation}}"),
        unit="s",
        alarm=0.25,
    ),
    lines("Calls that fail", (rate("unroll_store_errors_total", "code", REPLICA), "{{code}}"), unit="cps"),
    lines(
        "Memory of the store",
        ('max(unroll_store_memory_bytes{job="unroll"})', "used"),
        ('max(unroll_store_memory_limit_bytes{job="unroll"} < Inf)', "limit"),
        unit="bytes",
    ),
    lines("Part of its memory in use", ("job:unroll_store_memory:ratio", "used"), unit="percentunit", alarm=0.8),
    lines(
        "Durability",
        ('min(unroll_store_append_only{job="unroll"})', "append-only file written"),
        ('min(unroll_store_replicas{job="unroll"})', "replicas of the store"),
    ),
)

QUALITY = (
    lines(
        "Replicas that serve a version",
        (f"count by (model, version) (unroll_model_loaded{{{VERSION}}})", OF_VERSION),
    ),
    lines(
        "Perplexity of the users' text",
        (f"model_version:unroll_perplexity:rate1h{{{RECORDED}}}", OF_VERSION),
        (
            f'max by (model, version) (unroll_model_card_metric{{{VERSION}, metric="test_perplexity"}})',
            f"{OF_VERSION} model card",
        ),
        description="Of the last hour, beside what the model card says of its test data.",
    ),
    lines(
        "Mean absolute error of one-step forecasts",
        (f"model_version:unroll_absolute_error:rate1h{{{RECORDED}}}", OF_VERSION),
        (
            f'max by (model, version) (unroll_model_card_metric{{{VERSION}, metric="test_mae_at.1"}})',
            f"{OF_VERSION} model card",
        ),
    ),
    lines(
        "Observed by the model card's figure",
        (f"model_version:unroll_perplexity:card_ratio{{{RECORDED}}}", f"{OF_VERSION} perplexity"),
        (f"model_version:unroll_absolute_error:card_ratio{{{RECORDED}}}", f"{OF_VERSION} error"),
        description="1 is as good as on the test data.",
        alarm=2,
    ),
    lines(
        "Observations that score above 0.99",
        (f"model_version:unroll_anomalies:ratio_rate1h{{{RECORDED}}}", OF_VERSION),
        unit="percentunit",
        description="About 1 % if the model's distribution is right.",
        alarm=0.05,
    ),
    lines(
        "Observed by the week before",
        (by_the_week_before("model_version:unroll_perplexity:rate1h"), f"{OF_VERSION} perplexity"),
        (by_the_week_before("model_version:unroll_absolute_error:rate1h"), f"{OF_VERSION} error"),
        description="1 is as good as in the last seven days.",
        alarm=1.5,
    ),
)

ROWS = {
    "Overview": OVERVIEW,
    "Objectives and alerts": OBJECTIVES,
    "Traffic": TRAFFIC,
    "Errors": ERRORS,
    "Latency": LATENCY,
    "Saturation": SATURATION,
    "Sessions": SESSIONS,
    "The store": STORE,
    "Models": QUALITY,
}
