"""A result as one HTML page that needs nothing from anywhere else: charts are inline SVG, there is no script."""

from collections.abc import Iterator
from html import escape

from kproxy.bench.reports.charts import CHARTS, draw
from kproxy.bench.reports.tables import NOTES, Table, between_modes, by_size, heading, problems, side_by_side
from kproxy.bench.results.figures import FIGURES
from kproxy.bench.results.schema import Result

_STYLE = """
:root { color-scheme: light; --ink: #1c1e21; --faint: #626770; --line: #dcdfe4; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 74rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; }
dt { color: var(--faint); } dd { margin: 0; overflow-wrap: anywhere; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(30rem, 1fr)); gap: 1rem; }
figure { margin: 0; border: 1px solid var(--line); border-radius: 6px; padding: .5rem; background: #fff; }
figure svg { width: 100%; height: auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--faint); font-weight: 600; }
pre { font-size: .75rem; overflow-x: auto; }
.note { color: var(--faint); font-size: .9rem; }
"""


def page(result: Result) -> str:
    """The whole page.

    Raises:
        ChartsUnavailableError: no matplotlib
    """
    return "\n".join(_parts(result)) + "\n"


def _parts(result: Result) -> Iterator[str]:
    yield "<!doctype html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>Benchmark of a service proxy</title><style>{_STYLE}</style></head><body>"
    yield "<h1>Benchmark of a service proxy</h1><dl>"
    yield from (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in heading(result))
    yield "</dl>"
    if missing := problems(result):
        yield "<h2>Not measured, or not as it should be</h2><ul>"
        yield from (f"<li>{escape(words)}</li>" for words in missing)
        yield "</ul>"
    yield '<h2>Charts</h2><p class="note">Medians; bars are their 95 % confidence intervals.</p><div class="charts">'
    yield from (f"<figure>{svg}</figure>" for chart in CHARTS if (svg := draw(chart, result)) is not None)
    yield f'</div><h2>Figures</h2><p class="note">{escape(NOTES)}</p>'
    for shown in (*side_by_side(result), *between_modes(result), *by_size(result)):
        yield from _table(shown)
    yield "<h2>What the figures are</h2><dl>"
    used = {name for run in result.runs for name in run.figures}
    yield from (
        f"<dt>{escape(each.title)}</dt><dd>{escape(each.about)}</dd>" for name, each in FIGURES.items() if name in used
    )
    yield "</dl><h2>The daemons' own metrics</h2>"
    for run in result.runs:
        if run.metrics:
            title = escape(f"{run.contender}, {run.mode}, {run.services:,} × {run.endpoints}")
            metrics = escape("\n".join(f"{name} {value:g}" for name, value in run.metrics.items()))
            yield f"<details><summary>{title}</summary><pre>{metrics}</pre></details>"
    yield "</body></html>"


def _table(shown: Table) -> Iterator[str]:
    yield f'<h2>{escape(shown.title)}</h2><div class="scroll"><table><tr>'
    yield "".join(f"<th>{escape(cell)}</th>" for cell in shown.header) + "</tr>"
    for row in shown.rows:
        yield "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
    yield "</table></div>"
