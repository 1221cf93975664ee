"""The panels of the committed dashboard, and what Prometheus answers to their own queries."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

from tests.drill.configuration import DEPLOY, shorten_query
from tests.drill.stack import Prometheus

DASHBOARD = DEPLOY / "grafana" / "dashboards" / "unroll.json"
#: What Grafana puts for its variables: everything is chosen, and a rate is taken over some scrapes.
CHOSEN = {"$__rate_interval": "5m", "$instance": ".*", "$model": ".*", "$version": ".*"}
POINTS = 240


@dataclass(frozen=True)
class Shown:
    """A panel: its row, its title, its unit, its type in Grafana, and the queries with their legends."""

    row: str
    title: str
    unit: str
    kind: str
    queries: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Line:
    """A series of a panel: its legend, and its points by the seconds since the start."""

    name: str
    points: tuple[tuple[float, float], ...]


def panels() -> list[Shown]:
    """Return the panels of the dashboard that Grafana loads."""
    found, row = [], ""
    for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
            continue
        queries = tuple((target["expr"], target.get("legendFormat", "")) for target in panel["targets"])
        unit = panel["fieldConfig"]["defaults"].get("unit", "short")
        found.append(Shown(row, panel["title"], unit, panel["type"], queries))
    return found


def drill_query(expr: str) -> str:
    """Return the query of a panel as the drill asks it."""
    for variable, value in CHOSEN.items():
        expr = expr.replace(variable, value)
    return shorten_query(expr)


def series(prometheus: Prometheus, expr: str, legend: str, start: float, end: float) -> Iterator[Line]:
    """Yield what a query returned over that time."""
    step = max(1.0, (end - start) / POINTS)
    for result in prometheus.range(drill_query(expr), start, end, step):
        name = legend
        for label, value in result["metric"].items():
            name = name.replace(f"{{{{{label}}}}}", value)
        points = ((float(at) - start, float(value)) for at, value in result["values"])
        yield Line(name, tuple(point for point in points if math.isfinite(point[1])))


def without_data(prometheus: Prometheus, start: float, end: float) -> list[str]:
    """Return the queries of panels that returned nothing in that time."""
    return [
        f"{panel.title}: {expr}"
        for panel in panels()
        for expr, legend in panel.queries
        if not any(line.points for line in series(prometheus, expr, legend, start, end))
    ]
