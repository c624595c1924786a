"""Places charts in rows, from left to right and from top to bottom."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from kproxy.monitoring.dashboard.model import GRID_COLUMNS, Panel, Place, Row
from kproxy.monitoring.dashboard.panels import Chart, panel


class Section(NamedTuple):
    """Charts under a headline."""

    title: str
    charts: Sequence[Chart]
    collapsed: bool = False


def arrange(sections: Iterable[Section]) -> Iterator[Row | Panel]:
    """All panels with their places; the panels of a collapsed section are within its row, as Grafana has it."""
    number = top = 0
    for section in sections:
        number += 1
        headline, top = Place(h=1, w=GRID_COLUMNS, x=0, y=top), top + 1
        row_number, panels = number, []
        for chart, place in _flow(section.charts, top):
            number += 1
            panels.append(panel(chart, number, place))
            bottom = place.y + place.h
        top = bottom
        yield Row(
            id=row_number,
            title=section.title,
            grid_pos=headline,
            collapsed=section.collapsed,
            panels=tuple(panels) if section.collapsed else (),
        )
        if not section.collapsed:
            yield from panels


def _flow(charts: Sequence[Chart], top: int) -> Iterator[tuple[Chart, Place]]:
    left = height = 0
    for chart in charts:
        if left + chart.width > GRID_COLUMNS:
            left, top, height = 0, top + height, 0
        yield chart, Place(h=chart.height, w=chart.width, x=left, y=top)
        left, height = left + chart.width, max(height, chart.height)
