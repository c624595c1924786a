"""A hollow run for people, and back from its file."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from kproxy.bench.model.hollow import HollowFigures
from kproxy.bench.reports.quantities import quantity
from kproxy.bench.results.figures import Unit
from kproxy.bench.results.schema import ResultError


def lines(found: HollowFigures) -> Iterator[str]:
    """What it found, in sentences."""

    def seconds(value: float) -> str:
        return quantity(value, Unit.SECONDS)

    def size(value: float) -> str:
        return quantity(value, Unit.BYTES)

    yield (
        f"{found.proxies} proxies, {found.services:,} Services × {found.endpoints}: all synced after "
        f"{seconds(found.sync_seconds)}; lists of {size(found.list_bytes)} cost the API server "
        f"{seconds(found.list_cpu)} of CPU ({seconds(found.list_cpu / found.proxies)} a proxy)"
    )
    yield (
        f"{found.changes} changes at {found.rate:g}/s came to {found.deliveries:,} deliveries, "
        f"{size(found.churn_bytes)}, {seconds(found.churn_cpu)} of the server's CPU "
        f"({seconds(found.cpu_per_delivery)} a delivery)"
    )
    yield (
        f"from a write until a proxy has resolved it: {seconds(found.latency_median)} in the median, "
        f"{seconds(found.latency_p99)} p99, {seconds(found.latency_most)} at most "
        f"(n = {found.deliveries:,}; all proxies share one core)"
    )
    yield f"the API server's resident memory: {size(found.server_resident)}"


def read_costs(path: Path) -> float:
    """The API server's CPU time for one event to one watcher, in seconds.

    Raises:
        ResultError: no such file, or another kind of file
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=HollowFigures).cpu_per_delivery
    except OSError as error:
        raise ResultError(f"{path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ResultError(f"{path}: not a hollow run's result: {error}") from error
