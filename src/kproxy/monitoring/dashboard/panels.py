"""What a panel shows, apart from where: titles, queries, units, limits."""

from typing import Literal, NamedTuple

from kproxy.monitoring.dashboard.model import (
    DataSource,
    FieldColor,
    FieldConfig,
    FieldDefaults,
    GraphStyle,
    HeatmapStyle,
    Panel,
    Place,
    Target,
    Threshold,
    Thresholds,
    ThresholdsStyle,
    Unit,
)


class Query(NamedTuple):
    """A series, or several."""

    expr: str
    legend: str = ""
    """Grafana's template, such as `{{instance}}`."""


class Limits(NamedTuple):
    """From which value on something is worth a look, and from which it is bad."""

    warn: float
    bad: float | None = None


class Chart(NamedTuple):
    """A panel without its place."""

    title: str
    description: str
    queries: tuple[Query, ...]
    unit: Unit = "short"
    kind: Literal["timeseries", "stat", "heatmap"] = "timeseries"
    limits: Limits | None = None
    width: int = 8
    height: int = 7
    most: float | None = None
    """The end of the axis, where it has one."""
    nothing: str | None = None
    """What a number shows where there is no data."""


def stat(title: str, description: str, expr: str, unit: Unit = "short", limits: Limits | None = None) -> Chart:
    """A number; 0 where a metric has no value, as when nothing was ever counted."""
    return Chart(title, description, (Query(expr),), unit, "stat", limits, width=4, height=4, nothing="0")


def panel(chart: Chart, number: int, place: Place) -> Panel:
    """A chart at its place.

    Args:
        chart: what it shows
        number: unique within the dashboard
        place: where it is
    """
    return Panel(
        id=number,
        type=chart.kind,
        title=chart.title,
        description=chart.description,
        grid_pos=place,
        datasource=DataSource(),
        field_config=FieldConfig(defaults=_defaults(chart)),
        options=_OPTIONS[chart.kind],
        targets=tuple(
            Target(
                ref_id=chr(ord("A") + index),
                expr=query.expr,
                legend_format=query.legend,
                format="heatmap" if chart.kind == "heatmap" else "time_series",
                instant=chart.kind == "stat",
                range=chart.kind != "stat",
            )
            for index, query in enumerate(chart.queries)
        ),
    )


def _defaults(chart: Chart) -> FieldDefaults:
    steps = [Threshold(color="green", value=None)]
    if chart.limits:
        steps.append(Threshold(color="yellow", value=chart.limits.warn))
        if chart.limits.bad is not None:
            steps.append(Threshold(color="red", value=chart.limits.bad))
    graph = GraphStyle(thresholds_style=ThresholdsStyle(mode="line" if chart.limits else "off"))
    custom = {"timeseries": graph, "stat": None, "heatmap": HeatmapStyle()}[chart.kind]
    return FieldDefaults(
        unit=chart.unit,
        color=FieldColor(mode="thresholds" if chart.kind == "stat" else "palette-classic"),
        thresholds=Thresholds(steps=tuple(steps)),
        min=0 if chart.kind == "timeseries" else None,
        max=chart.most,
        no_value=chart.nothing,
        custom=custom,
    )


_OPTIONS: dict[str, dict[str, object]] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "colorMode": "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "auto",
        "wideLayout": True,
        "showPercentChange": False,
        "percentChangeColorMode": "standard",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    },
    "heatmap": {
        "calculate": False,
        "cellGap": 1,
        "cellValues": {"unit": "cps"},
        "color": {
            "exponent": 0.5,
            "fill": "dark-orange",
            "mode": "scheme",
            "reverse": False,
            "scheme": "Oranges",
            "steps": 64,
        },
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": False},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": "s"},
    },
}
