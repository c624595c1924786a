"""Predictions as a table."""

from collections.abc import Iterable

from rich.table import Table

from kproxy.bench.model.curves import Estimate
from kproxy.bench.model.extrapolation import Prediction
from kproxy.bench.reports.quantities import quantity
from kproxy.bench.results.figures import Unit


def table(predictions: Iterable[Prediction]) -> Table:
    """A row for each."""
    shown = Table(
        *("mode", "nodes", "Services", "changes/s", "API events/s", "API sends", "API cores", "all list at once"),
        *("node CPU", "latency", "proxy memory"),
    )
    for each in predictions:
        case = each.case
        shown.add_row(
            f"{each.contender}, {each.mode}",
            f"{case.nodes:,}",
            f"{case.services:,}",
            f"{case.churn:g}",
            f"{each.deliveries:,.0f}",
            f"{quantity(each.api_bandwidth, Unit.BYTES)}/s",
            "–" if each.api_cores is None else f"{each.api_cores:.2f}",
            quantity(each.relist, Unit.BYTES),
            _marked(each.node_cpu, Unit.SHARE),
            _marked(each.latency, Unit.SECONDS),
            "–" if each.node_memory is None else _marked(each.node_memory, Unit.BYTES),
        )
    return shown


def _marked(estimate: Estimate, unit: Unit) -> str:
    return f"{quantity(estimate.value, unit)}{'*' if estimate.extrapolated else ''}"
