"""The rules and configurations, read and executed by the programs that load them, where those are installed."""

from pathlib import Path

import pytest
import yaml

from tests.drill.configuration import DEPLOY, RULES, shorten_query, shortened, write_haproxy, write_prometheus
from tests.drill.programs import check, require
from tests.drill.rule_cases import CASES, Case, Series

ADDRESSES = {
    "service-1:8000": "127.0.0.1:1001",
    "service-2:8000": "127.0.0.1:1002",
    "haproxy:8404": "127.0.0.1:1003",
    "alertmanager:9093": "127.0.0.1:1004",
}


def alerts() -> list[str]:
    """The alerts of all rules files."""
    files = (yaml.safe_load(path.read_text("utf-8")) for path in sorted(RULES.glob("*.yml")))
    return [rule["alert"] for file in files for group in file["groups"] for rule in group["rules"] if "alert" in rule]


def test_every_alert_has_series_that_cause_it_and_series_that_do_not() -> None:
    assert sorted(alerts()) == sorted(CASES)


def test_prometheus_reads_its_configuration_and_rules() -> None:
    (promtool,) = require("promtool")
    assert "SUCCESS" in check([promtool, "check", "config", DEPLOY / "prometheus" / "prometheus.yml"])


@pytest.mark.slow
def test_each_alert_fires_for_its_cause_and_for_nothing_like_it(tmp_path: Path) -> None:
    (promtool,) = require("promtool")
    rules = [str(path) for path in sorted(RULES.glob("*.yml"))]
    for interval in {case.interval for case in CASES.values()}:
        cases = [(alert, case) for alert, case in CASES.items() if case.interval == interval]
        tests = [rule_test(alert, case, fires) for alert, case in cases for fires in (True, False)]
        content = {"rule_files": rules, "evaluation_interval": f"{interval}m", "tests": tests}
        (tmp_path / f"{interval}.yml").write_text(yaml.safe_dump(content), "utf-8")
    assert "FAILED" not in check([promtool, "test", "rules", *tmp_path.glob("*.yml")])


def rule_test(alert: str, case: Case, fires: bool) -> dict[str, object]:
    series: Series = case.bad if fires else case.fine
    expected = [{"labels": f'{{alertname="{alert}"}}', "value": 1}]
    return {
        "name": f"{alert} {'fires' if fires else 'is silent'}",
        "interval": f"{case.interval}m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count by (alertname) (ALERTS{{alertname="{alert}", alertstate="firing"}})',
                "eval_time": f"{case.at}m",
                "exp_samples": expected if fires else [],
            }
        ],
    }


def test_alertmanager_reads_its_configuration() -> None:
    (amtool,) = require("amtool")
    assert "SUCCESS" in check([amtool, "check-config", DEPLOY / "alertmanager" / "alertmanager.yml"])


def test_the_drill_changes_addresses_and_durations_alone(tmp_path: Path) -> None:
    promtool, haproxy = require("promtool", "haproxy")
    check([promtool, "check", "config", write_prometheus(tmp_path, ADDRESSES)])
    check([haproxy, "-c", "-f", write_haproxy(tmp_path, ADDRESSES, 1005, 1006, 1007)])


@pytest.mark.parametrize(
    ("duration", "short"), [("1m", "2s"), ("5m", "6s"), ("1h", "12s"), ("6h", "17s"), ("3d", "24s"), ("7d", "26s")]
)
def test_longer_windows_stay_longer_in_the_drill(duration: str, short: str) -> None:
    assert shortened(duration) == short


def test_a_query_is_shortened_in_its_windows_and_offsets_and_nowhere_else() -> None:
    query = "x:rate1h / avg_over_time(x:rate1h[7d] offset 1h) > 5"
    assert shorten_query(query) == "x:rate1h / avg_over_time(x:rate1h[26s] offset 12s) > 5"
