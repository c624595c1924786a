"""IPVS mode in one process, and the floor that the kernel sets."""

import asyncio
import gc
import time
from typing import NamedTuple

import msgspec

from kproxy.backends.ipvs.backend import IpvsBackend
from kproxy.backends.ipvs.options import IpvsOptions
from kproxy.backends.ipvs.sets import SetName, specification
from kproxy.bench import cluster
from kproxy.bench.cluster import Size
from kproxy.daemon import memory
from kproxy.kernel.ipset.elements import ip_port
from kproxy.kernel.ipset.socket import SetSocket
from kproxy.kernel.ipvs.protocol import ServerKey, ServerSettings
from kproxy.kernel.ipvs.socket import IpvsSocket
from kproxy.kernel.links import LinkSocket
from kproxy.kernel.requests import Request
from kproxy.services.addresses import Address, Family
from kproxy.services.objects import EndpointSlice, Service
from kproxy.services.tracker import ServiceTracker

_CHANGES, _WARM_UP = 300, 50
_TCP = 6
_NEWCOMERS = 1_000_000
"""Above the numbers of all endpoints that are there."""


class Changes(NamedTuple):
    """Seconds of one change: an endpoint more, which is one message. Medians, taken turn by turn."""

    change: float
    """From the tracker's change to the kernel."""
    event: float
    """From the bytes of the API's watch event."""
    floor: float
    """The message alone."""


class Measured(NamedTuple):
    full_sync: float
    changes: Changes


def measure(size: Size) -> Measured:
    """Measure the mode in this thread's network namespace.

    Raises:
        BackendError: this kernel has no IPVS
        OSError: the kernel refuses
    """
    memory.expect_many_objects()
    tracker = ServiceTracker("node-0")
    for i in range(size.services):
        tracker.upsert(msgspec.convert(cluster.service(i), Service))
        for made in cluster.endpoint_slices(i, size.endpoints):
            tracker.upsert(msgspec.convert(made, EndpointSlice))
    tracker.take()
    # Modules, sets and rules are there before, as they are after the first start on a node.
    backend = IpvsBackend((Family.IPV4,), IpvsOptions())
    try:
        return asyncio.run(_syncs(tracker, backend, size))
    finally:
        backend.close()
        gc.unfreeze()


async def _syncs(tracker: ServiceTracker, backend: IpvsBackend, size: Size) -> Measured:
    await backend.sync_all((), ServiceTracker("node-0"))
    gc.collect()
    gc.freeze()
    begin = time.perf_counter()
    outcomes = await backend.sync_all(tuple(tracker.names()), tracker)
    full = time.perf_counter() - begin
    if any(outcome.refused for outcome in outcomes):
        raise OSError(str(outcomes))
    return Measured(full, await _changes(tracker, backend, size))


async def _changes(tracker: ServiceTracker, backend: IpvsBackend, size: Size) -> Changes:
    decoder = msgspec.json.Decoder(EndpointSlice)
    events = []
    for number in range(_WARM_UP + _CHANGES):
        made = cluster.endpoint_slices(number * 7919 % size.services, size.endpoints)[-1]
        more = cluster.endpoint_slices(_NEWCOMERS + number, 1)[-1]["endpoints"]
        made["endpoints"] += more
        events.append(msgspec.json.encode(made))
    bare = IpvsSocket()
    servers = [key for key, _ in bare.servers()]
    seconds = []
    for number, event in enumerate(events):
        begin = time.perf_counter()
        tracker.upsert(decoder.decode(event))
        tracked = time.perf_counter()
        [outcome] = await backend.sync(tracker.take().services, tracker)
        end = time.perf_counter()
        if outcome.refused or not outcome.objects:
            raise OSError(str(outcome))
        key, backend_ = servers[number % len(servers)], _address(41, number) + b"\x1f\x90"
        decoder.decode(event)  # as before the change: caches are as cold
        start = time.perf_counter()
        performed = bare.perform([bare.add_backend(key, backend_)])
        seconds.append((end - tracked, end - begin, time.perf_counter() - start))
        if performed.refused:
            raise OSError(str(performed.refused[0]))
    bare.close()
    return Changes(*(sorted(column)[_CHANGES // 2] for column in zip(*seconds[_WARM_UP:], strict=True)))


def floor(size: Size) -> float:
    """Send as much as a full sync, in this thread's network namespace, from values that need not be computed.

    Raises:
        OSError: the kernel refuses
    """
    ipvs, sets, links = IpvsSocket(), SetSocket(), LinkSocket()
    cluster_ips, all_ips = (specification(n, Family.IPV4) for n in (SetName.CLUSTER_IP, SetName.IPVS_IPS))
    for wanted in (cluster_ips, all_ips):
        sets.ensure(wanted, None)
    interface = links.ensure_dummy("floor")
    addresses = [_address(10, i) for i in range(size.services)]
    settings = ServerSettings("rr")
    begin = time.perf_counter()
    sets.add([(cluster_ips, [ip_port(a, _TCP, 80) for a in addresses]), (all_ips, addresses)])
    links.add(interface, addresses)
    requests: list[Request] = []
    for i, address in enumerate(addresses):
        key = ServerKey(_TCP, address, 80)
        requests.append(ipvs.add_server(key, settings))
        first = i * size.endpoints
        backends = [_address(40, first + j) + b"\x1f\x90" for j in range(size.endpoints)]
        requests += [ipvs.add_backend(key, backend) for backend in backends]
    performed = ipvs.perform(requests)
    full = time.perf_counter() - begin
    if performed.refused:
        raise OSError(str(performed.refused[0]))
    for socket in (ipvs, sets, links):
        socket.close()
    return full


def _address(network: int, number: int) -> Address:
    return ((network << 24) + number + 1).to_bytes(4, "big")
