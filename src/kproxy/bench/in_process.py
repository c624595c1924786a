"""Model, compiler and kernel in one process, without an API in between: full sync, and one change."""

import asyncio
import gc
import time
from typing import NamedTuple

import msgspec

from kproxy.backends.nftables.backend import NftablesBackend
from kproxy.backends.nftables.ruleset import RulesetOptions
from kproxy.bench import cluster
from kproxy.bench.cluster import Size
from kproxy.daemon import memory
from kproxy.services.addresses import Family
from kproxy.services.objects import EndpointSlice, Service
from kproxy.services.tracker import ServiceTracker

_CHANGES = 300
_WARM_UP = 20


class InProcess(NamedTuple):
    """Seconds, medians where there are several."""

    track: float
    """Taking all objects in, decoded already."""
    full_sync: float
    """From the tracker to the kernel's commit."""
    change: float
    """From a watch event's bytes to the kernel's commit."""
    change_p99: float
    change_cpu: float
    """Mean CPU time, the kernel's share included."""
    elements: int
    """Kernel objects of the full sync."""


def measure(size: Size) -> InProcess:
    """Measure in this thread's network namespace.

    Raises:
        OSError: the kernel refuses
    """
    memory.expect_many_objects()
    tracker = ServiceTracker("node-0")
    services = [msgspec.convert(cluster.service(i, mixed=size.mixed), Service) for i in range(size.services)]
    slices = [
        msgspec.convert(made, EndpointSlice)
        for i in range(size.services)
        for made in cluster.endpoint_slices(i, size.endpoints)
    ]
    begin = time.perf_counter()
    for service in services:
        tracker.upsert(service)
    for slice_ in slices:
        tracker.upsert(slice_)
    tracked = time.perf_counter()
    del services, slices
    gc.collect()
    backend = NftablesBackend((Family.IPV4,), RulesetOptions())
    tracker.take()
    start = time.perf_counter()
    outcomes = asyncio.run(backend.sync_all((), tracker))
    synced = time.perf_counter()
    memory.settle()
    if any(outcome.refused for outcome in outcomes):
        raise OSError(str(outcomes))
    seconds, cpu = asyncio.run(_changes(tracker, backend, size))
    backend.close()
    gc.unfreeze()
    ordered = sorted(seconds)
    return InProcess(
        tracked - begin,
        synced - start,
        ordered[len(ordered) // 2],
        ordered[len(ordered) * 99 // 100],
        cpu,
        sum(outcome.objects for outcome in outcomes),
    )


async def _changes(tracker: ServiceTracker, backend: NftablesBackend, size: Size) -> tuple[list[float], float]:
    decoder = msgspec.json.Decoder(EndpointSlice)
    events = [
        msgspec.json.encode(
            cluster.endpoint_slices(number * 7919 % size.services, size.endpoints, offset=number + 1)[-1]
        )
        for number in range(_WARM_UP + _CHANGES)
    ]
    seconds, cpu = [], 0.0
    for number, event in enumerate(events):
        begin, cpu_begin = time.perf_counter(), time.process_time()
        tracker.upsert(decoder.decode(event))
        outcomes = await backend.sync(tracker.take().services, tracker)
        if number >= _WARM_UP:
            seconds.append(time.perf_counter() - begin)
            cpu += time.process_time() - cpu_begin
        if any(outcome.refused or not outcome.objects for outcome in outcomes):
            raise OSError(str(outcomes))
    return seconds, cpu / len(seconds)
