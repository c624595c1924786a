"""`make bench-nftables`: nftables mode beside the floor that the kernel sets, and the bounds it must keep."""

import asyncio
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from rich.console import Console
from rich.table import Table

from kproxy.bench import daemon, floor, in_process
from kproxy.bench.cluster import Size
from kproxy.lab.namespaces import Namespace

SMALL, LARGE = Size(100, 10), Size(10_000, 10)
MIXED_SMALL, MIXED = Size(100, 10, mixed=True), Size(10_000, 10, mixed=True)
WIDE, HUGE = Size(5_000, 50), Size(100_000, 10)
T = TypeVar("T")


class Figure(NamedTuple):
    name: str
    measured: str
    bound: str
    kept: bool
    floor: str = ""


def run(*, quick: bool = False) -> int:
    """Measure and print; returns the exit status, 1 when a figure misses its bound."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    if os.geteuid() != 0:
        console.print("needs root: makes network namespaces")
        return 2
    cores, load = os.cpu_count(), os.getloadavg()[0]
    console.print(f"Linux {platform.release()}, Python {platform.python_version()}, {cores} cores, load {load:.1f}")
    table = Table("cluster", "figure", "measured", "floor", "bound", "")
    failed = False
    for size, figures in _sizes(console, quick=quick):
        for figure in figures:
            mark = "[green]✓[/green]" if figure.kept else "[red]✗[/red]"
            table.add_row(str(size), figure.name, figure.measured, figure.floor, figure.bound, mark)
            failed = failed or not figure.kept
        table.add_section()
    console.print(table)
    console.print(
        "floor: as many elements put into one map, or one exchanged, by the same encoder and socket, in the same run.\n"
        "start to synced: from the start of the process to the second family's commit, from an API server over HTTP.\n"
        "one change, daemon: from the API's watch event to the kernel's notice of the commit in another process."
    )
    return int(failed)


def _sizes(console: Console, *, quick: bool) -> list[tuple[Size, list[Figure]]]:
    found = [
        (LARGE, [*_in_one_process(console, LARGE), *_daemon(console, SMALL, LARGE)]),
        (MIXED, [*_in_one_process(console, MIXED), *_daemon(console, MIXED_SMALL, MIXED)]),
        (WIDE, _in_one_process(console, WIDE, bound=1.5)),
    ]
    if not quick:
        found.append((HUGE, _in_one_process(console, HUGE, bound=8.0)))
    return found


def _daemon(console: Console, few: Size, many: Size) -> list[Figure]:
    small, large = _as_daemon(console, few), _as_daemon(console, many)
    ratio = large.change / small.change
    return [
        _seconds("start to synced", large.start_to_synced, 3.0),
        Figure("CPU until synced", f"{large.start_cpu:.2f} s", "", True),
        _milliseconds("one change, daemon", large.change, 0.005),
        Figure(f"… with {few.services} Services", _ms(small.change), "", True),
        Figure("… ratio", f"{ratio:.2f} ×", "≤ 1.5 ×", ratio <= 1.5),
        Figure("… 99th percentile", _ms(large.change_p99), "", True),
        _milliseconds("CPU for that change", large.change_cpu, 0.003),
        Figure("idle CPU", f"{large.idle_cpu:.2%}", "≤ 0.20%", large.idle_cpu <= 0.002),
        Figure("resident memory", f"{large.resident / 1e6:.0f} MB", "≤ 160 MB", large.resident <= 160_000_000),
    ]


def _in_one_process(console: Console, size: Size, *, bound: float | None = None) -> list[Figure]:
    measured = _in_namespace(console, f"full sync of {size}", lambda: in_process.measure(size))
    lowest = _in_namespace(console, f"floor of {size}", lambda: floor.measure(measured.elements))
    limit = bound or 3 * lowest.full
    return [
        Figure("taking all objects in", f"{measured.track:.2f} s", "", True),
        Figure(
            "full sync",
            f"{measured.full_sync:.2f} s",
            f"≤ {limit:.2f} s" if bound else f"≤ 3 × floor = {limit:.2f} s",
            measured.full_sync <= limit,
            f"{lowest.full:.2f} s",
        ),
        Figure("… elements", f"{measured.elements:,}", "", True),
        _milliseconds("one change, in process", measured.change, 0.005)._replace(floor=_ms(lowest.change)),
    ]


def _as_daemon(console: Console, size: Size) -> daemon.DaemonRun:
    command = [str(Path(sys.executable).parent / "kube-proxy")]
    return _timed(console, f"the daemon with {size}", lambda: asyncio.run(daemon.measure(size, command)))


def _in_namespace(console: Console, what: str, measure: Callable[[], T]) -> T:
    def inside() -> T:
        with Namespace("bench") as namespace:
            return namespace.run(measure)

    return _timed(console, what, inside)


def _timed(console: Console, what: str, measure: Callable[[], T]) -> T:
    begin = time.monotonic()
    with console.status(f"measuring {what}"):
        result = measure()
    console.print(f"measured {what} ({time.monotonic() - begin:.0f} s)")
    return result


def _seconds(name: str, value: float, bound: float) -> Figure:
    return Figure(name, f"{value:.2f} s", f"≤ {bound:g} s", value <= bound)


def _milliseconds(name: str, value: float, bound: float) -> Figure:
    return Figure(name, _ms(value), f"≤ {bound * 1000:g} ms", value <= bound)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"
