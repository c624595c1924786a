"""A result as Markdown."""

from collections.abc import Iterator

from kproxy.bench.reports.tables import NOTES, Table, between_modes, by_size, heading, problems, side_by_side
from kproxy.bench.results.figures import FIGURES
from kproxy.bench.results.schema import Result


def markdown(result: Result) -> str:
    """The whole report."""
    return "\n".join(_lines(result)) + "\n"


def table(shown: Table, level: int = 2) -> list[str]:
    """A table with its title."""
    return [
        f"{'#' * level} {shown.title}",
        "",
        _row(shown.header),
        _row(["---"] * len(shown.header)),
        *map(_row, shown.rows),
        "",
    ]


def _lines(result: Result) -> Iterator[str]:
    yield from ("# Benchmark of a service proxy", "")
    yield from (f"- {name}: {value}" for name, value in heading(result))
    yield ""
    if missing := problems(result):
        yield from ("Not measured, or not as it should be:", "", *(f"- {words}" for words in missing), "")
    yield from (NOTES, "")
    for shown in (*side_by_side(result), *between_modes(result), *by_size(result)):
        yield from table(shown)
    yield from ("## What the figures are", "")
    used = {name for run in result.runs for name in run.figures}
    yield from (f"- {each.title}: {each.about}" for name, each in FIGURES.items() if name in used)
    for run in result.runs:
        if run.metrics:
            yield from ("", f"## Metrics of {run.contender}, {run.mode}, {run.services:,} × {run.endpoints}", "", "```")
            yield from (f"{name} {value:g}" for name, value in run.metrics.items())
            yield "```"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
