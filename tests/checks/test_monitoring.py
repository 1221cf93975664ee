"""Alert rules, runbook and dashboard agree with each other and with the metrics that the service exports."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.checks.places import ROOT

DEPLOY = ROOT / "deploy"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "unroll.json"
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text("utf-8")
RULES: list[dict[str, Any]] = [
    rule
    for path in sorted((DEPLOY / "prometheus" / "rules").glob("*.yml"))
    for group in yaml.safe_load(path.read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDS = {rule["record"] for rule in RULES if "record" in rule}
#: Metrics of HAProxy's exporter; `make drill` asks a real one for them.
OF_THE_PROXY = {"haproxy_backend_active_servers", "haproxy_frontend_http_responses_total"}
METRIC = re.compile(r"[a-z_]+:unroll_\w+(?::\w+)+|unroll_\w+|haproxy_\w+")
EXPORT = """
import sys
from service.telemetry.metrics import Metrics
from service.telemetry.supervisor_metrics import SupervisorMetrics
own = Metrics()
own.files.certificate(0, True)
sys.stdout.write("".join(f"{metric.name} {metric.type}\\n" for metric in own._registry.collect()))
SupervisorMetrics().worker_memory(1, 2)
sys.stdout.write("".join(f"{metric.name} {metric.type}\\n" for metric in own._collector().collect()))
"""
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}


@cache
def exported() -> set[str]:
    """The series that workers and their supervisor export."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": folder}
        done = subprocess.run(
            [sys.executable, "-c", EXPORT], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
        )
    metrics = (line.split() for line in done.stdout.splitlines())
    return {name + suffix for name, kind in metrics for suffix in SUFFIXES[kind]}


def queries() -> Iterator[tuple[str, str]]:
    """Every query of rules and panels, with the name of what asks it."""
    for rule in RULES:
        yield rule.get("alert") or rule["record"], rule["expr"]
    for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def test_every_metric_in_rules_and_panels_is_exported() -> None:
    known = exported() | RECORDS | OF_THE_PROXY
    unknown = {f"{asker}: {name}" for asker, query in queries() for name in METRIC.findall(query) if name not in known}
    assert not unknown, "\n".join(sorted(unknown))


def test_every_recorded_figure_is_used() -> None:
    used = {name for _, query in queries() for name in METRIC.findall(query)}
    assert RECORDS - used == set()


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_an_alert_tells_how_urgent_it_is_what_it_is_and_where_help_is(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{alert.lower()}"


def test_every_alert_has_its_entry_in_the_runbook_and_every_entry_its_alert() -> None:
    assert sorted(re.findall(r"^### (\w+)$", RUNBOOK, re.MULTILINE)) == sorted(ALERTS)


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_an_entry_of_the_runbook_tells_what_it_means_what_to_look_at_and_what_to_do(alert: str) -> None:
    entry = RUNBOOK.partition(f"### {alert}\n")[2].partition("\n### ")[0]
    assert ALERTS[alert]["labels"]["severity"] in entry.splitlines()[1]
    for part in ("**Means.**", "**Look at.**", "**Do.**"):
        assert part in entry, f"{alert} has no {part}"


def test_the_committed_dashboard_is_the_one_that_the_code_makes() -> None:
    dashboard = pytest.importorskip("deploy.grafana.dashboard", reason="make dev installs grafana-foundation-sdk")
    assert dashboard.dashboard() == DASHBOARD.read_text("utf-8"), "run `make dashboard`"


def test_nothing_of_the_monitoring_names_a_session_or_a_tenant() -> None:
    texts = [DASHBOARD, *(DEPLOY / "prometheus" / "rules").glob("*.yml")]
    labels = {label for path in texts for label in re.findall(r"by \(([^)]*)\)", Path(path).read_text("utf-8"))}
    assert labels
    assert not {"tenant", "session", "session_id"} & {name.strip() for group in labels for name in group.split(",")}
