"""Charts as SVG, drawn from a result by matplotlib: figures against the number of Services, a line for each mode."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from kproxy.bench.reports.quantities import scale
from kproxy.bench.results.figures import FIGURES, Unit
from kproxy.bench.results.schema import Result, Run
from kproxy.bench.results.spread import spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS: Final = {
    "nftables": "#1b7837",
    "iptables": "#d6604d",
    "iptables-nft": "#a0522d",
    "ipvs": "#4393c3",
    "userspace": "#762a83",
}
_STYLES: Final = ("-", "--", ":", "-.")
_SIZE: Final = (7.2, 3.9)


class ChartsUnavailableError(Exception):
    """matplotlib is not installed; the message says how to get it."""


class Line(NamedTuple):
    """A figure of every run, drawn in one style."""

    figure: str
    label: str = ""


class Chart(NamedTuple):
    title: str
    lines: tuple[Line, ...]
    logarithmic: bool = False


CHARTS: Final = (
    Chart("Rule update latency: from the API's write until a connection sees it", (Line("update_connection"),), True),
    Chart(
        "Connection set-up latency, by position of the Service",
        (
            Line("connect_last", "last Service"),
            Line("connect_first", "first Service"),
            Line("connect_direct", "no Service"),
        ),
    ),
    Chart("Rule update latency while other Services change", (Line("update_under_churn"),), True),
    Chart("Start of the process until synced", (Line("start_to_synced"),), True),
    Chart("CPU for one change", (Line("cpu_change"),), True),
    Chart(
        "Requests per second, a connection each", (Line("requests", "last Service"), Line("requests_direct", "none"))
    ),
    Chart("Resident memory", (Line("resident"),)),
    Chart("Kernel memory", (Line("kernel_memory"),)),
    Chart("Kernel objects", (Line("kernel_objects"),), True),
)


def draw(chart: Chart, result: Result) -> str | None:
    """The chart as an `<svg>` element; None where the result has nothing of it.

    Raises:
        ChartsUnavailableError: no matplotlib
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ChartsUnavailableError("charts need matplotlib: pip install 'kproxy[bench]'") from error
    if not any(line.figure in run.figures for line in chart.lines for run in result.runs):
        return None
    # Text stays text: smaller, searchable, and in the reader's own font.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": chart.title, "font.family": "sans-serif"}):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.add_subplot()
        _plot(axes, chart, result)
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    svg = written.getvalue()
    return svg[svg.index("<svg") :]


def _plot(axes: "Axes", chart: Chart, result: Result) -> None:
    from matplotlib.ticker import LogFormatter

    used = [run.figures[line.figure] for line in chart.lines for run in result.runs if line.figure in run.figures]
    unit = FIGURES[chart.lines[0].figure].unit
    factor, name = scale(max(max(figure.samples) for figure in used), unit)
    if unit is Unit.SECONDS and not chart.logarithmic:
        factor, name = scale(spread(used[0].rounds).median.value, unit)
    for number, line in enumerate(chart.lines):
        for contender in result.contenders or {"": []}:
            for mode in dict.fromkeys(run.mode for run in result.runs):
                runs = [run for run in result.runs if (run.contender, run.mode) == (contender, mode)]
                label = ", ".join(filter(None, (contender if len(result.contenders) > 1 else "", mode, line.label)))
                style = _STYLES[(number + list(result.contenders).index(contender)) % len(_STYLES)]
                _line(
                    axes, [run for run in runs if line.figure in run.figures], line.figure, factor, mode, label, style
                )
    axes.set_xscale("log")
    if chart.logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
        axes.yaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(1.5, 0.6)))
    else:
        axes.set_ylim(bottom=0)
    services = sorted({run.services for run in result.runs})
    axes.set_xticks(services, [f"{each:,}" for each in services], minor=False)
    axes.set_xticks([], minor=True)
    axes.set_xlabel("Services")
    axes.set_ylabel(name or unit.value)
    axes.set_title(chart.title, fontsize=11)
    axes.grid(visible=True, alpha=0.25)
    axes.legend(fontsize=8, frameon=False)


def _line(axes: "Axes", runs: Sequence[Run], name: str, factor: float, mode: str, label: str, style: str) -> None:
    """Medians, with their confidence intervals as bars."""
    if not runs:
        return
    runs = sorted(runs, key=lambda run: run.services)
    medians = [spread(run.figures[name].rounds).median for run in runs]
    values = [each.value / factor for each in medians]
    bars = [
        [(each.value - each.low) / factor for each in medians],
        [(each.high - each.value) / factor for each in medians],
    ]
    axes.errorbar(
        [run.services for run in runs],
        values,
        yerr=bars,
        linestyle=style,
        marker="o",
        markersize=3.5,
        capsize=2,
        linewidth=1.4,
        color=_COLOURS.get(mode, "#555555"),
        label=label,
    )
