"""What is counted: start-up, a list, and in every mode one change and a first sync."""

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

import msgspec

from kproxy.bench import cluster
from kproxy.bench.cluster import Size
from kproxy.bench.guard.counting import counted_calls, counted_instructions
from kproxy.bench.start_up import SERVING, VERSION
from kproxy.services.addresses import Family
from kproxy.services.local_traffic import LocalTraffic, by_network
from kproxy.services.objects import EndpointSlice, Service
from kproxy.services.tracker import ServiceTracker

Counts = Mapping[str, int]

SMALL: Final = Size(50, 10)
LARGER: Final = Size(1_000, 10)
_WARM_UP: Final = 3
_FAMILIES: Final = (Family.IPV4,)
_IMPORTS: Final = "import sys; {}; print(len(sys.modules))"


def start_up() -> Counts:
    """How many modules are imported to print the version, and to serve."""
    return {"modules, --version": _modules(VERSION), "modules, serving": _modules(SERVING)}


def _modules(statement: str) -> int:
    argv = [sys.executable, "-c", _IMPORTS.format(statement)]
    ended = subprocess.run(argv, capture_output=True, check=True, text=True, timeout=60)
    return int(ended.stdout.split()[-1])


def listing() -> Counts:
    """A list of slices, as the API server sends it, decoded and taken in."""
    from kproxy.sources.list_stream import ListDecoder
    from kproxy.sources.wire import ObjectDecoder

    items = [slice_ for number in range(SMALL.services) for slice_ in cluster.endpoint_slices(number, SMALL.endpoints)]
    body = msgspec.json.encode({"kind": "EndpointSliceList", "metadata": {"resourceVersion": "1"}, "items": items})
    chunks = [body[start : start + 65536] for start in range(0, len(body), 65536)]

    def take_in() -> None:
        decoder, tracker = ListDecoder(ObjectDecoder(EndpointSlice)), ServiceTracker("node-0")
        for chunk in chunks:
            for item in decoder.feed(chunk):
                if isinstance(item, EndpointSlice):
                    tracker.upsert(item)
        decoder.finish()

    take_in()
    return {f"{name} per slice": count // SMALL.services for name, count in _both(take_in).items()}


def nftables_change(size: Size) -> Counts:
    """One endpoint exchanged: from the watch event's bytes to the kernel's acknowledgement."""
    return asyncio.run(_nftables_change(size))


async def _nftables_change(size: Size) -> Counts:
    from kproxy.backends.nftables.backend import NftablesBackend
    from kproxy.backends.nftables.ruleset import RulesetOptions

    tracker = _tracker(size)
    backend = NftablesBackend(_FAMILIES, RulesetOptions())
    try:
        await backend.sync_all((), tracker)
        decoder = msgspec.json.Decoder(EndpointSlice)

        async def change(event: bytes) -> None:
            tracker.upsert(decoder.decode(event))
            await backend.sync(tracker.take().services, tracker)

        return await _changes(size, change)
    finally:
        backend.close()


async def _changes(size: Size, change: Callable[[bytes], Awaitable[None]]) -> Counts:
    events = [
        msgspec.json.encode(cluster.endpoint_slices(number * 7 % size.services, size.endpoints, offset=number + 1)[-1])
        for number in range(_WARM_UP + 2)
    ]
    for event in events[:_WARM_UP]:
        await change(event)
    with counted_calls() as calls:
        await change(events[-2])
    with counted_instructions() as instructions:
        await change(events[-1])
    return dict(calls + instructions)


def nftables_full_sync() -> Counts:
    """Everything at once, into an empty namespace, and the objects that this takes."""
    from kproxy.backends.nftables.backend import NftablesBackend
    from kproxy.backends.nftables.ruleset import RulesetOptions
    from kproxy.bench.local.kernel_state import nf_tables_objects

    tracker = _tracker(SMALL)
    backend = NftablesBackend(_FAMILIES, RulesetOptions())
    try:
        with counted_calls() as counts:
            asyncio.run(backend.sync_all((), tracker))
    finally:
        backend.close()
    return {name: counts[name] for name in ("netlink messages", "netlink bytes")} | nf_tables_objects()


def iptables_change(size: Size) -> Counts:
    """One endpoint exchanged: the restore input that this takes."""
    from kproxy.backends.iptables.desired import DesiredRules
    from kproxy.backends.iptables.options import RuleOptions
    from kproxy.backends.iptables.partial import PartialChange

    tracker = _tracker(size)
    desired = DesiredRules(RuleOptions(family=Family.IPV4, local_traffic=_local(), accounting=True))
    desired.load(tracker)
    written: list[bytes] = []

    async def change(event: bytes) -> None:
        tracker.upsert(msgspec.json.decode(event, type=EndpointSlice))
        partial_ = PartialChange(desired)
        for name in tracker.take().services:
            partial_.service(desired.put(name, tracker))
        written.append(partial_.finish().to_bytes())

    counts = asyncio.run(_changes(size, change))
    return {**counts, "bytes of input": len(written[-2]), "lines of input": written[-2].count(b"\n")}


def iptables_full_sync() -> Counts:
    """Everything at once: the restore input."""
    from kproxy.backends.iptables.desired import DesiredRules
    from kproxy.backends.iptables.full import full_input
    from kproxy.backends.iptables.options import RuleOptions
    from kproxy.backends.iptables.saved import Saved

    desired = DesiredRules(RuleOptions(family=Family.IPV4, local_traffic=_local(), accounting=True))
    desired.load(_tracker(SMALL))
    written = full_input(desired, Saved({})).to_bytes()
    return {"rules": written.count(b"\n-A "), "bytes of input": len(written)}


def ipvs_change() -> Counts:
    """One endpoint exchanged: what has to be told to the kernel."""
    from kproxy.backends.ipvs.desired import DesiredState
    from kproxy.backends.ipvs.options import IpvsOptions

    tracker, state = _tracker(SMALL), DesiredState(IpvsOptions())
    state.put({name: tracker.ports(name, Family.IPV4) for name in tracker.names()})
    messages: list[int] = []

    async def change(event: bytes) -> None:
        tracker.upsert(msgspec.json.decode(event, type=EndpointSlice))
        delta = state.put({name: tracker.ports(name, Family.IPV4) for name in tracker.take().services})
        messages.append(sum(len(part) for part in vars(delta).values()))

    return {**asyncio.run(_changes(SMALL, change)), "messages": messages[-2]}


WORKLOADS: Final[Mapping[str, Callable[[], Counts]]] = {
    "start-up": start_up,
    "list": listing,
    f"nftables, change, {SMALL}": partial(nftables_change, SMALL),
    f"nftables, change, {LARGER}": partial(nftables_change, LARGER),
    f"nftables, full sync, {SMALL}": nftables_full_sync,
    f"iptables, change, {SMALL}": partial(iptables_change, SMALL),
    f"iptables, change, {LARGER}": partial(iptables_change, LARGER),
    f"iptables, full sync, {SMALL}": iptables_full_sync,
    f"ipvs, change, {SMALL}": ipvs_change,
}
IN_NAMESPACE: Final = "nftables, "
"""What the names of workloads begin with that write to the kernel: each gets a network namespace of its own."""


def _tracker(size: Size) -> ServiceTracker:
    tracker = ServiceTracker("node-0")
    for number in range(size.services):
        tracker.upsert(msgspec.convert(cluster.service(number), Service))
        for slice_ in cluster.endpoint_slices(number, size.endpoints):
            tracker.upsert(msgspec.convert(slice_, EndpointSlice))
    tracker.take()
    return tracker


def _local() -> LocalTraffic:
    return by_network([cluster.POD_NETWORK])[Family.IPV4]


def _both(work: Callable[[], None]) -> Counter[str]:
    found: Counter[str] = Counter()
    counters: list[Callable[[], AbstractContextManager[Counter[str]]]] = [counted_calls, counted_instructions]
    for counting in counters:
        with counting() as counts:
            work()
        found += counts
    return found
