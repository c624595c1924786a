"""The parts of Grafana's dashboard JSON that this dashboard uses, as Grafana 10 and later read them.

Grafana's own Python SDK is not used: it is 5 MB of generated classes that call themselves alpha. A test holds the JSON
against Grafana's published types.
"""

from typing import Literal

import msgspec

GRID_COLUMNS = 24
"""The width of a dashboard, in Grafana's units."""

Unit = Literal["s", "short", "percentunit", "bytes", "cps", "ops", "none", "dateTimeAsIso"]
"""Grafana's names of units: `cps` is counts a second, `percentunit` a share between 0 and 1."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A JSON object; its fields are named as Grafana names them."""


class DataSource(_Part, frozen=True):
    """A reference to the data source that the dashboard's variable chooses."""

    type: str = "prometheus"
    uid: str = "${datasource}"


class Target(_Part, frozen=True):
    """A query of a panel."""

    ref_id: str
    expr: str
    legend_format: str
    format: Literal["time_series", "heatmap"] = "time_series"
    instant: bool = False
    range: bool = True
    editor_mode: Literal["code"] = "code"
    datasource: DataSource = DataSource()


class Threshold(_Part, frozen=True):
    """A colour from a value on; None is everything below the next."""

    color: Literal["green", "yellow", "red"]
    value: float | None


class Thresholds(_Part, frozen=True):
    """In ascending order; the first has no value."""

    steps: tuple[Threshold, ...]
    mode: Literal["absolute"] = "absolute"


class ThresholdsStyle(_Part, frozen=True):
    """Whether a graph shows them."""

    mode: Literal["off", "line"]


class GraphStyle(_Part, frozen=True):
    """How a graph's lines look."""

    thresholds_style: ThresholdsStyle
    fill_opacity: int = 8
    line_width: int = 1
    show_points: Literal["never"] = "never"
    span_nulls: bool = False


class HeatmapStyle(_Part, frozen=True):
    """Nothing that differs from Grafana's defaults."""


class FieldColor(_Part, frozen=True):
    """Where a series' colour comes from."""

    mode: Literal["palette-classic", "thresholds"]


class FieldDefaults(_Part, frozen=True, omit_defaults=True):
    """How a panel's values are shown."""

    unit: Unit
    color: FieldColor
    thresholds: Thresholds
    min: float | None = None
    max: float | None = None
    no_value: str | None = None
    custom: GraphStyle | HeatmapStyle | None = None


class FieldConfig(_Part, frozen=True):
    """Of a panel."""

    defaults: FieldDefaults
    overrides: tuple[()] = ()


class Place(_Part, frozen=True):
    """Where a panel is, in Grafana's units."""

    h: int
    w: int
    x: int
    y: int


class Panel(_Part, frozen=True, omit_defaults=True):
    """A graph, a number or a heatmap."""

    id: int
    type: Literal["timeseries", "stat", "heatmap"]
    title: str
    description: str
    grid_pos: Place
    datasource: DataSource
    field_config: FieldConfig
    options: dict[str, object]
    targets: tuple[Target, ...]


class Row(_Part, frozen=True):
    """A headline; collapsed, it holds the panels beneath it."""

    id: int
    title: str
    grid_pos: Place
    collapsed: bool
    panels: tuple[Panel, ...]
    type: Literal["row"] = "row"


class Variable(_Part, frozen=True, omit_defaults=True):
    """A choice at the top of the dashboard."""

    name: str
    label: str
    type: Literal["datasource", "query"]
    query: str
    datasource: DataSource | None = None
    multi: bool = False
    include_all: bool = False
    all_value: str | None = None
    refresh: Literal[1, 2] = 1
    """When choices are looked up: on loading, or whenever the time range changes."""
    sort: Literal[0, 1] = 0
    regex: str | None = None


class Templating(_Part, frozen=True):
    """The dashboard's variables."""

    list: tuple[Variable, ...]


class TimeRange(_Part, frozen=True):
    """What is shown at first."""

    from_: str = msgspec.field(name="from", default="now-3h")
    to: str = "now"


class Dashboard(_Part, frozen=True):
    """A file that Grafana imports, or is provisioned with."""

    uid: str
    title: str
    description: str
    tags: tuple[str, ...]
    templating: Templating
    panels: tuple[Row | Panel, ...]
    time: TimeRange = TimeRange()
    refresh: str = "1m"
    timezone: str = "browser"
    editable: bool = True
    graph_tooltip: Literal[1] = 1
    """All graphs show the cursor of the one that has it."""
    schema_version: int = 39
    """Grafana 10.4's; newer ones migrate it when they load it."""
