"""Two results of the suite, figure by figure."""

from kproxy.bench.reports.quantities import interval
from kproxy.bench.reports.tables import Table, verdict
from kproxy.bench.results.figures import FIGURES
from kproxy.bench.results.schema import Result
from kproxy.bench.results.spread import spread


def compare(before: Result, after: Result) -> Table:
    """What both measured, with the ratio of the second to the first."""
    runs = {(run.contender, run.mode, run.services, run.endpoints): run for run in before.runs}
    rows = []
    for run in after.runs:
        old = runs.get((run.contender, run.mode, run.services, run.endpoints))
        if old is None:
            continue
        for name, definition in FIGURES.items():
            if name in run.figures and name in old.figures:
                values = [interval(spread(each.figures[name].rounds).median, definition.unit) for each in (old, run)]
                label = f"{run.contender}, {run.mode}, {run.services:,} × {run.endpoints}"
                rows.append([label, definition.title, *values, *verdict(name, run, old)])
    return Table("second ÷ first", ["", "figure", "first", "second", "ratio [95 %]", "verdict"], rows)


def differences(before: Result, after: Result) -> list[str]:
    """What keeps two results from being comparable: another machine, kernel or Python, or other settings."""
    found = []
    for name in ("processor", "emulated", "cores", "memory", "kernel", "python"):
        old, new = getattr(before.machine, name), getattr(after.machine, name)
        if old != new:
            found.append(f"{name}: {old} and {new}")
    if before.settings != after.settings:
        found.append("settings differ")
    return found
