"""The dashboard: what Grafana's own types say, where panels are, and what they ask for."""

import json
from copy import deepcopy
from itertools import combinations
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

from kproxy.monitoring.dashboard.dashboard import dashboard, to_json
from kproxy.monitoring.settings import Settings
from tests.monitoring.metric_names import OF_OTHERS, asked_for, there_are

SCHEMAS: dict[str, Any] = json.loads((Path(__file__).parent / "schemas" / "schemas.json").read_text())
CHECKS = {name: fastjsonschema.compile(SCHEMAS[name]) for name in SCHEMAS}
OF_A_PANEL = {"timeseries": "TimeseriesPanel", "stat": "StatPanel", "heatmap": "HeatmapPanel", "row": "Row"}

MADE: dict[str, Any] = json.loads(to_json(dashboard(Settings())))


def all_panels(made: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for top in made["panels"] for panel in (top, *top.get("panels", ()))]


def check(made: dict[str, Any]) -> None:
    CHECKS["GrafanaDashboard"](made)
    for panel in all_panels(made):
        CHECKS[OF_A_PANEL[panel["type"]]](panel)


def test_it_is_what_grafanas_types_say() -> None:
    check(MADE)
    assert {panel["type"] for panel in all_panels(MADE)} == OF_A_PANEL.keys()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schemaVersion",), "39"),
        (("refreshes",), "1m"),
        (("templating", "list", 0, "type"), "choice"),
        (("panels", 1, "gridPos", "width"), 4),
        (("panels", 1, "options", "colorMode"), "loud"),
        (("panels", 1, "fieldConfig", "defaults", "thresholds", "mode"), "relative"),
        (("panels", 9, "fieldConfig", "defaults", "custom", "lineWidth"), "thick"),
        (("panels", 9, "targets", 0, "expression"), "up"),
    ],
)
def test_the_check_finds_what_grafana_would_not_understand(path: tuple[str | int, ...], value: object) -> None:
    spoilt = deepcopy(MADE)
    place: Any = spoilt
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(fastjsonschema.JsonSchemaValueException):
        check(spoilt)


def test_panels_have_numbers_and_places_of_their_own() -> None:
    panels = all_panels(MADE)
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = {}
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells[panel["id"]] = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
    for (one, ours), (other, theirs) in combinations(cells.items(), 2):
        assert not ours & theirs, f"panels {one} and {other} overlap"


def test_every_query_names_the_chosen_data_source_and_metrics_that_there_are() -> None:
    for panel in all_panels(MADE):
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}"
            assert asked_for(target["expr"]) - OF_OTHERS <= there_are(), target["expr"]


def test_first_thresholds_have_no_value() -> None:
    """Grafana takes the first step for everything below the second; a number there hides what is less."""
    for panel in all_panels(MADE):
        if panel["type"] != "row":
            steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
            values = [step["value"] for step in steps]
            assert values[0] is None
            assert values[1:] == sorted(values[1:])


def test_the_same_settings_make_the_same_bytes() -> None:
    assert to_json(dashboard(Settings())) == to_json(dashboard(Settings()))
    assert to_json(dashboard(Settings(within=5))) != to_json(dashboard(Settings()))
