"""`make bench-nftables`: nftables mode beside the floor that the kernel sets, and the bounds it must keep."""

import asyncio
import sys
from pathlib import Path

from kproxy.bench import daemon, floor, in_process
from kproxy.bench.cluster import Size
from kproxy.bench.report import Figure, Report, in_ms, milliseconds, ratio, seconds

SMALL, LARGE = Size(100, 10), Size(10_000, 10)
MIXED_SMALL, MIXED = Size(100, 10, mixed=True), Size(10_000, 10, mixed=True)
WIDE, HUGE = Size(5_000, 50), Size(100_000, 10)
NOTES = """\
floor: as many elements put into one map, or one exchanged, by the same encoder and socket, in the same run.
start to synced: from the start of the process to the second family's commit, from an API server over HTTP.
one change, daemon: from the API's watch event to the kernel's notice of the commit in another process.
mixed: 10 % with session affinity, 10 % load balancers with policy Local, 5 % with source ranges.
Another listener to nf_tables' notifications on the machine makes full syncs several times as slow."""


def run(report: Report, *, quick: bool = False) -> int:
    """Measure and print; returns the exit status, 1 when a figure misses its bound."""
    found = [
        (str(LARGE), [*_in_one_process(report, LARGE), *_daemon(report, SMALL, LARGE)]),
        (str(MIXED), [*_in_one_process(report, MIXED), *_daemon(report, MIXED_SMALL, MIXED)]),
        (str(WIDE), _in_one_process(report, WIDE, bound=1.5)),
    ]
    if not quick:
        found.append((str(HUGE), _in_one_process(report, HUGE, bound=8.0)))
    return report.show(found, NOTES)


def _daemon(report: Report, few: Size, many: Size) -> list[Figure]:
    small, large = _as_daemon(report, few), _as_daemon(report, many)
    return [
        seconds("start to synced", large.start_to_synced, 3.0),
        Figure("CPU until synced", f"{large.start_cpu:.2f} s"),
        milliseconds("one change, daemon", large.change, 0.005),
        Figure(f"… with {few.services} Services", in_ms(small.change)),
        ratio("… ratio", large.change / small.change, 1.5),
        Figure("… 99th percentile", in_ms(large.change_p99)),
        milliseconds(f"one of {large.churn.rate:.0f} changes per second", large.churn.median, 0.005),
        milliseconds("… 99th percentile", large.churn.p99, 0.010),
        milliseconds("CPU for that change", large.change_cpu, 0.003),
        Figure("idle CPU", f"{large.idle_cpu:.2%}", "≤ 0.20%", large.idle_cpu <= 0.002),
        Figure("resident memory", f"{large.resident / 1e6:.0f} MB", "≤ 160 MB", large.resident <= 160_000_000),
    ]


def _in_one_process(report: Report, size: Size, *, bound: float | None = None) -> list[Figure]:
    measured = report.in_namespace(f"full sync of {size}", lambda: in_process.measure(size))
    lowest = report.in_namespace(f"floor of {size}", lambda: floor.measure(measured.elements))
    full = seconds("full sync", measured.full_sync, bound or 3 * lowest.full)
    if bound is None:
        full = full._replace(bound=f"≤ 3 × floor = {3 * lowest.full:.2f} s")
    return [
        Figure("taking all objects in", f"{measured.track:.2f} s"),
        full._replace(floor=f"{lowest.full:.2f} s"),
        Figure("… elements", f"{measured.elements:,}"),
        milliseconds("one change, in process", measured.change, 0.005)._replace(floor=in_ms(lowest.change)),
    ]


def _as_daemon(report: Report, size: Size) -> daemon.DaemonRun:
    command = [str(Path(sys.executable).parent / "kube-proxy")]
    return report.timed(f"the daemon with {size}", lambda: asyncio.run(daemon.measure(size, command)))
