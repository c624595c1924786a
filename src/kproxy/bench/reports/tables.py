"""A result as tables of words, for whatever shows them."""

from collections.abc import Iterator
from typing import NamedTuple

from kproxy.bench.reports.quantities import interval, quantity, ratio
from kproxy.bench.results.figures import FIGURES, Unit
from kproxy.bench.results.noise import in_words
from kproxy.bench.results.schema import Result, Run
from kproxy.bench.results.spread import ratio as ratio_of
from kproxy.bench.results.spread import spread


class Table(NamedTuple):
    title: str
    header: list[str]
    rows: list[list[str]]


NOTES = (
    "Each figure is the median of all samples, with its 95 % confidence interval in brackets: Student's t over the "
    "rounds' medians, for samples of one round share that round's luck. Of a single round, the interval is that of "
    "its samples alone, and a ratio has none. A figure with a single sample has no spread to state: take it as an "
    "anecdote. Of twenty ratios of the same thing to itself, chance calls one a difference."
)

EMULATED = (
    "a program imitates the processor (QEMU, without KVM or another hypervisor's help), ten to thirty times slower "
    "than a real one: absolute figures are those of no machine. Compare the modes of this run with each other, and "
    "nothing with another result. What the host did meanwhile is seen in the spread only"
)


def heading(result: Result) -> list[tuple[str, str]]:
    """What was run, on what, and how quiet it was."""
    machine = result.machine
    version = f"kproxy {machine.kproxy}{f' ({machine.commit})' if machine.commit else ''}, Python {machine.python}"
    hardware = f"{machine.cores} × {machine.processor}, {quantity(machine.memory, Unit.BYTES)}, {machine.kernel}"
    virtual = f", a virtual machine ({machine.virtualisation})" if machine.virtualisation else ""
    lines = [
        ("Started", f"{result.started}, took {result.seconds / 60:.1f} min"),
        ("Machine", f"{hardware}{virtual}"),
        *([("Emulated", EMULATED)] if machine.emulated else []),
        ("Versions", ", ".join([version, *(f"{name} {version}" for name, version in machine.programs.items())])),
        ("Command", " ".join(result.command)),
        *((f"Contender {name}", " ".join(command)) for name, command in result.contenders.items()),
        ("Settings", ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in result.settings.items())),
    ]
    if result.noise:
        lines.append(("Noise", in_words(result.noise)))
    if result.interrupted:
        lines.append(("Interrupted", "this is what was measured until then"))
    return lines


def problems(result: Result) -> list[str]:
    """What is missing, and why."""
    named = [
        f"{run.contender}, {run.mode}, {run.services:,} × {run.endpoints}: {problem}"
        for run in result.runs
        for problem in run.problems
    ]
    return [*result.remarks, *named]


def by_size(result: Result) -> Iterator[Table]:
    """One table for each cluster: figures down, contenders and modes across."""
    for services, endpoints in dict.fromkeys((run.services, run.endpoints) for run in result.runs):
        runs = [run for run in result.runs if (run.services, run.endpoints) == (services, endpoints)]
        several = len(result.contenders) > 1
        header = ["", *(f"{run.contender}, {run.mode}" if several else run.mode for run in runs)]
        rows = [
            [FIGURES[name].title, *(_cell(run, name) for run in runs)]
            for name in FIGURES
            if any(name in run.figures for run in runs)
        ]
        yield Table(f"{services:,} Services × {endpoints} endpoints", header, rows)


def _cell(run: Run, name: str) -> str:
    if name not in run.figures:
        return "–"
    unit = FIGURES[name].unit
    found = spread(run.figures[name].rounds)
    if found.samples == 1:
        return f"{quantity(found.median.value, unit)} (once)"
    words = interval(found.median, unit)
    return (
        f"{words}, p90 {quantity(found.p90, unit)}, p99 {quantity(found.p99, unit)}" if found.samples >= 20 else words
    )


def side_by_side(result: Result) -> Iterator[Table]:
    """Ratios of the first contender to each of the others, where both ran in the same mode with the same cluster."""
    first, *others = result.contenders or [""]
    runs = {(run.contender, run.mode, run.services, run.endpoints): run for run in result.runs}
    for other in others:
        rows = []
        for (name, *key), run in runs.items():
            rival = runs.get((other, *key))  # type: ignore[arg-type]
            if name == first and rival is not None:
                rows += [[f"{run.mode}, {run.services:,} × {run.endpoints}", *row] for row in _ratios(run, rival)]
        if rows:
            yield Table(f"{first} ÷ {other}", ["", "figure", first, other, "ratio [95 %]", "verdict"], rows)


def between_modes(result: Result) -> Iterator[Table]:
    """Of an emulated machine, whose ratios are all that counts: each mode's figures as multiples of the first one's."""
    if not result.machine.emulated:
        return
    for services, endpoints in dict.fromkeys((run.services, run.endpoints) for run in result.runs):
        runs = [run for run in result.runs if (run.services, run.endpoints) == (services, endpoints)]
        rows = [
            [FIGURES[name].title, *(_multiple(run, runs[0], name) for run in runs[1:])]
            for name in FIGURES
            if name in runs[0].figures and any(name in run.figures for run in runs[1:])
        ]
        if rows:
            header = ["", *(f"{run.mode} ÷ {runs[0].mode}" for run in runs[1:])]
            yield Table(f"Modes beside each other, {services:,} Services × {endpoints} endpoints", header, rows)


def _multiple(run: Run, base: Run, name: str) -> str:
    if name not in run.figures:
        return "–"
    found = ratio_of(run.figures[name].rounds, base.figures[name].rounds)
    return "–" if found is None else ratio(found)


def verdict(name: str, run: Run, rival: Run) -> tuple[str, str]:
    """The ratio of two runs in a figure that both have, and what to make of it."""
    found = ratio_of(run.figures[name].rounds, rival.figures[name].rounds)
    if found is None:
        return "–", "not comparable: zero or less"
    if not found.bounded:
        return ratio(found), "too few rounds (1) to tell: --rounds 5"
    if not found.excludes_one:
        return ratio(found), "no difference beyond noise"
    return ratio(found), "better" if (found.value > 1) is FIGURES[name].higher_is_better else "worse"


def _ratios(run: Run, rival: Run) -> Iterator[list[str]]:
    for name, definition in FIGURES.items():
        if name in run.figures and name in rival.figures:
            values = [interval(spread(each.figures[name].rounds).median, definition.unit) for each in (run, rival)]
            yield [definition.title, *values, *verdict(name, run, rival)]
