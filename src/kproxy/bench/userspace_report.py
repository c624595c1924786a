"""`make bench-userspace`: userspace mode beside HAProxy and the direct connection, and the bounds it must keep."""

import os
import statistics
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from kproxy.bench import userspace_load as load
from kproxy.bench.report import Figure, Report
from kproxy.bench.userspace_contenders import (
    BULK,
    ECHO,
    WEB,
    Contender,
    descriptors,
    endpoints,
    haproxy,
    haproxy_version,
    ours,
)

ROUNDS, QUICK_ROUNDS = 5, 1
_STREAM_SECONDS, _CONNECT_SECONDS, _REQUEST_SECONDS = 2.0, 2, 3.0
_REQUEST_RATE = 1000
_IDLE_CONNECTIONS, _IDLE_BYTES = 10_000, 150_000_000
_DESCRIPTORS_FOR_IDLE = 2 * _IDLE_CONNECTIONS + 1000
NOTES = """\
Loopback; client, proxy and endpoint share the machine's cores. Contenders are measured turn by turn, in one run.
measured: median of the rounds, and the lowest and highest. floor: the direct connection.
bound: of the ratio to HAProxy's figure in the same rounds (median of the rounds' ratios).
throughput: one stream, until the endpoint has read it all. connections: wrk, a connection for each request.
1 KiB: 1,000 requests/s sent on schedule over 20 connections; 99th percentile of the time from schedule to answer.
idle: each has carried a byte there and back; memory is the resident size of the daemon and all workers."""


class _Round(NamedTuple):
    throughput: float
    rate: float
    p99: float


def run(report: Report, *, quick: bool = False) -> int:
    """Measure and print; returns the exit status, 1 when a figure misses its bound.

    Raises:
        OSError: haproxy or wrk is missing, or something did not start
    """
    version = haproxy_version()
    rounds = QUICK_ROUNDS if quick else ROUNDS
    cores = os.cpu_count() or 1
    sections = []
    for workers in dict.fromkeys((1, cores)):
        name = f"{workers} workers, {workers} threads" if workers > 1 else "1 worker, 1 thread"
        sections.append((name, report.in_namespace(name, lambda w=workers: _compare(w, rounds))))  # type: ignore[misc]
    sections.append(("idle", report.in_namespace("idle connections", _idle)))
    return report.show(sections, f"{version}\n{NOTES}")


def _compare(workers: int, rounds: int) -> list[Figure]:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with ExitStack() as stack:
        direct = stack.enter_context(endpoints())
        theirs, own = stack.enter_context(haproxy(workers)), stack.enter_context(ours(workers))
        measured: dict[str, list[_Round]] = {each.name: [] for each in (direct, theirs, own)}
        for _ in range(rounds):
            for each in (direct, theirs, own):
                measured[each.name].append(_measure(each))
    floor, reference, found = measured[direct.name], measured[theirs.name], measured[own.name]
    figures = []
    for title, of, bound, show in (
        ("GB/s", lambda r: r.throughput, 0.7, lambda v: f"{v / 1e9:.2f}"),
        ("connections/s", lambda r: r.rate, 0.4, lambda v: f"{v:,.0f}"),
        ("1 KiB p99, ms", lambda r: r.p99, -2.0, lambda v: f"{v * 1000:.2f}"),
    ):
        figures += _figures(title, floor, reference, found, of, bound, show)
    return figures


def _figures(
    title: str,
    floor: Sequence[_Round],
    reference: Sequence[_Round],
    found: Sequence[_Round],
    of: Callable[[_Round], float],
    bound: float,
    show: Callable[[float], str],
) -> list[Figure]:
    """Three lines; a negative bound is one that the ratio must not exceed."""

    def spread(rounds: Sequence[_Round]) -> str:
        values = [of(each) for each in rounds]
        return f"{show(statistics.median(values))} ({show(min(values))}–{show(max(values))})"

    ratio = statistics.median(of(ours_) / of(theirs) for ours_, theirs in zip(found, reference, strict=True))
    kept = ratio <= -bound if bound < 0 else ratio >= bound
    return [
        Figure(f"{title}, kproxy", spread(found), floor=spread(floor)),
        Figure(f"{title}, HAProxy", spread(reference)),
        Figure("… ratio", f"{ratio:.2f} ×", f"{'≤' if bound < 0 else '≥'} {abs(bound):g} ×", kept),
    ]


def _measure(contender: Contender) -> _Round:
    return _Round(
        load.throughput(contender.ports[BULK], _STREAM_SECONDS),
        load.connection_rate(contender.ports[WEB], _CONNECT_SECONDS),
        load.latency(contender.ports[ECHO], _REQUEST_RATE, _REQUEST_SECONDS).p99,
    )


def _idle() -> list[Figure]:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # A worker needs two descriptors a connection; where a process may not have so many, two share the connections.
    workers = 1 if descriptors() >= _DESCRIPTORS_FOR_IDLE else 2
    with endpoints(), ours(workers) as own:
        resident = load.idle_memory(own.ports[ECHO], _IDLE_CONNECTIONS, own.pids)
    return [
        Figure(
            f"{_IDLE_CONNECTIONS:,} connections, {workers} worker{'s' if workers > 1 else ''}",
            f"{resident / 1e6:.0f} MB",
            f"≤ {_IDLE_BYTES / 1e6:.0f} MB",
            resident <= _IDLE_BYTES,
        )
    ]
