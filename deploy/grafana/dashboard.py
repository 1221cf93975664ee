"""Dashboard of the service as code: `make dashboard` writes dashboards/unroll.json, which Grafana reads.

python -m deploy.grafana.dashboard > deploy/grafana/dashboards/unroll.json
"""

import sys
from collections.abc import Callable
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DatasourceVariable,
    QueryVariable,
    Row,
    ThresholdsConfig,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as NumberPanel
from grafana_foundation_sdk.builders.statetimeline import Panel as StatesPanel
from grafana_foundation_sdk.builders.timeseries import Panel as LinesPanel
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import GraphThresholdsStyleMode, VisibilityMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
)
from grafana_foundation_sdk.models.dashboard import (
    Panel as PanelModel,
)

from deploy.grafana.panels import ROWS, Panel, Query

SOURCE = DataSourceRef(type_val="prometheus", uid="$datasource")
#: Grafana's grid is 24 wide: six numbers or three panels of lines in a line.
NUMBER_SIZE = (4, 4)
LINES_SIZE = (8, 8)
#: Variables by which all panels can be narrowed, and where their values come from.
VARIABLES = {
    "instance": 'label_values(up{job="unroll"}, instance)',
    "model": "label_values(unroll_model_loaded, model)",
    "version": 'label_values(unroll_model_loaded{model=~"$model"}, version)',
}


def dashboard() -> str:
    """Return the dashboard as JSON."""
    builder = (
        Dashboard("Unroll")
        .uid("unroll")
        .description("The service, its store and its models. docs/monitoring.md describes the panels.")
        .tags(["unroll"])
        .readonly()
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    for name, values in VARIABLES.items():
        builder.with_variable(variable(name, values))
    for title, panels in ROWS.items():
        builder.with_row(Row(title))
        for panel in panels:
            builder.with_panel(MAKERS[panel.kind](panel))
    return JSONEncoder(sort_keys=True, indent=2).encode(builder.build()) + "\n"


def variable(name: str, values: str) -> QueryVariable:
    """Return a variable of which any number of values can be chosen, at first all."""
    return (
        QueryVariable(name)
        .label(name.capitalize())
        .datasource(SOURCE)
        .query(values)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def number(panel: Panel) -> NumberPanel:
    """Return a panel of one number."""
    width, height = NUMBER_SIZE
    built = NumberPanel().title(panel.title).datasource(SOURCE).unit(panel.unit).span(width).height(height)
    built.thresholds(thresholds(panel.alarm))
    return built.with_target(target(panel.queries[0], 0))


def lines(panel: Panel) -> LinesPanel:
    """Return a panel of lines over time, with a line where an alert would fire."""
    width, height = LINES_SIZE
    built = LinesPanel().title(panel.title).datasource(SOURCE).unit(panel.unit).span(width).height(height).min(0)
    if panel.description:
        built.description(panel.description)
    if panel.alarm is not None:
        built.thresholds(thresholds(panel.alarm))
        built.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    for index, query in enumerate(panel.queries):
        built.with_target(target(query, index))
    return built


def states(panel: Panel) -> StatesPanel:
    """Return a panel with a bar for each series while it has a value."""
    width, height = LINES_SIZE
    built = StatesPanel().title(panel.title).datasource(SOURCE).description(panel.description)
    built.span(width).height(height).show_value(VisibilityMode.NEVER).thresholds(thresholds(1))
    return built.with_target(target(panel.queries[0], 0))


#: What makes a panel, by its kind.
MAKERS: dict[str, Callable[[Panel], Builder[PanelModel]]] = {"number": number, "lines": lines, "states": states}


def target(query: Query, index: int) -> Dataquery:
    """Return a query as a target of a panel; Grafana names targets by letters."""
    return Dataquery().ref_id(ascii_uppercase[index]).expr(query.expr).legend_format(query.legend or "__auto")


def thresholds(alarm: float | None) -> ThresholdsConfig:
    """Return green, and red from `alarm` on."""
    steps = [Threshold(value=None, color="green")]
    if alarm is not None:
        steps.append(Threshold(value=alarm, color="red"))
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


if __name__ == "__main__":
    sys.stdout.write(dashboard())
