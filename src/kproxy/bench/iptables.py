"""iptables mode in one process: what writing the restore input costs, and what iptables-restore and the kernel add."""

import asyncio
import gc
import resource
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple, Self

import msgspec

from kproxy.backends.interface import Outcome
from kproxy.backends.iptables.backend import IptablesBackend, IptablesOptions
from kproxy.backends.iptables.desired import DesiredRules
from kproxy.backends.iptables.full import full_input
from kproxy.backends.iptables.options import RuleOptions
from kproxy.backends.iptables.saved import Saved
from kproxy.backends.iptables.skeleton import TABLES
from kproxy.backends.iptables.tool import Tool, Variant
from kproxy.bench import cluster
from kproxy.bench.cluster import Size
from kproxy.kernel.processes import run
from kproxy.services.addresses import Family
from kproxy.services.local_traffic import by_network
from kproxy.services.model import ServiceName, ServicePort
from kproxy.services.objects import EndpointSlice, Service
from kproxy.services.tracker import ServiceTracker

_CHANGES = 5
_WARM_UP = 1
_LOCAL = by_network([cluster.POD_NETWORK])


class Cost(NamedTuple):
    """Seconds of one kind of sync, beside the bare program on the same input; medians where there are several."""

    total: float
    """From the tracker's changes until the kernel has them."""
    bare: float
    """`iptables-restore --noflush` of the same input, alone."""
    ours: float
    """Our own CPU time."""
    tool: float
    """CPU time of the programs outside the kernel."""
    kernel: float
    """CPU time of the programs inside the kernel."""
    bytes: int
    """Of restore input."""

    @property
    def waiting(self) -> float:
        """What is left of the time."""
        return max(0.0, self.total - self.ours - self.tool - self.kernel)

    @property
    def ratio(self) -> float:
        return self.total / self.bare


class IptablesFigures(NamedTuple):
    """What `measure` found."""

    build: float
    """Seconds to write the full restore input, every Service's rules compiled anew."""
    full_sync: Cost
    change: Cost
    """One endpoint exchanged for another."""


class _Recorder(Tool):
    """Remembers its last input."""

    commands = b""

    async def restore(self, commands: bytes) -> None:
        self.commands = commands
        await super().restore(commands)


def measure(size: Size, variant: Variant = Variant.LEGACY) -> IptablesFigures:
    """Measure in this thread's network namespace, which must be there for this alone: all its rules are flushed.

    Raises:
        OSError: iptables refuses
    """
    tracker = ServiceTracker("node-0")
    for i in range(size.services):
        tracker.upsert(msgspec.convert(cluster.service(i), Service))
        for made in cluster.endpoint_slices(i, size.endpoints):
            tracker.upsert(msgspec.convert(made, EndpointSlice))
    tracker.take()
    gc.collect()
    gc.freeze()
    build = min(_build(tracker) for _ in range(3))
    try:
        full, changes = asyncio.run(_syncs(tracker, size, variant))
    finally:
        gc.unfreeze()
    return IptablesFigures(build, full, _median(changes[_WARM_UP:]))


async def _syncs(tracker: ServiceTracker, size: Size, variant: Variant) -> tuple[Cost, list[Cost]]:
    tool = _Recorder(Family.IPV4, variant, infix=f"-{variant.value}")
    backend = IptablesBackend((Family.IPV4,), IptablesOptions(), {Family.IPV4: tool})
    backend.set_local_traffic(_LOCAL)
    try:
        await _flush(variant)
        full = await _cost(tool, lambda: backend.sync_all((), tracker), before_bare=lambda: _flush(variant))
        changes = [await _change(tracker, backend, tool, size, number) for number in range(_WARM_UP + _CHANGES)]
    finally:
        backend.close()
        await _flush(variant)
    return full, changes


class _Resolved(NamedTuple):
    """A model that was computed beforehand: it costs the same in every mode."""

    by_name: dict[ServiceName, tuple[ServicePort, ...]]

    def names(self) -> Iterable[ServiceName]:
        return self.by_name

    def ports(self, name: ServiceName, family: Family) -> tuple[ServicePort, ...]:
        return self.by_name[name]


def _build(tracker: ServiceTracker) -> float:
    model = _Resolved({name: tracker.ports(name, Family.IPV4) for name in tracker.names()})
    desired = DesiredRules(RuleOptions(family=Family.IPV4, local_traffic=_LOCAL[Family.IPV4], accounting=True))
    begin = time.perf_counter()
    desired.load(model)
    full_input(desired, Saved({})).to_bytes(descending=True)
    return time.perf_counter() - begin


async def _change(tracker: ServiceTracker, backend: IptablesBackend, tool: _Recorder, size: Size, number: int) -> Cost:
    changed = cluster.endpoint_slices(number * 7919 % size.services, size.endpoints, offset=number + 1)[-1]
    event = msgspec.json.encode(changed)

    async def sync() -> list[Outcome]:
        tracker.upsert(msgspec.json.decode(event, type=EndpointSlice))
        return await backend.sync(tracker.take().services, tracker)

    return await _cost(tool, sync, before_bare=_nothing)


async def _nothing() -> None:
    pass


class _Spent(NamedTuple):
    """Seconds since whenever: on the clock, of our own CPU time, and of programs' outside and inside the kernel."""

    clock: float
    ours: float
    tool: float
    kernel: float

    @classmethod
    def now(cls) -> Self:
        own, programs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        return cls(time.perf_counter(), own.ru_utime + own.ru_stime, programs.ru_utime, programs.ru_stime)

    def since(self, begin: Self) -> Self:
        return type(self)(*(after - before for after, before in zip(self, begin, strict=True)))


async def _cost(
    tool: _Recorder, sync: Callable[[], Awaitable[list[Outcome]]], *, before_bare: Callable[[], Awaitable[None]]
) -> Cost:
    begin = _Spent.now()
    outcomes = await sync()
    spent = _Spent.now().since(begin)
    if any(outcome.refused or not outcome.objects for outcome in outcomes):
        raise OSError(str(outcomes))
    commands = tool.commands
    await before_bare()
    begin = _Spent.now()
    # Once more has the same effect, and is the same work.
    await tool.restore(commands)
    bare = _Spent.now().since(begin)
    return Cost(spent.clock, bare.clock, spent.ours, spent.tool, spent.kernel, len(commands))


def _median(costs: list[Cost]) -> Cost:
    return Cost(*(sorted(column)[len(column) // 2] for column in zip(*costs, strict=True)))


async def _flush(variant: Variant) -> None:
    empty = b"".join(b"*%b\nCOMMIT\n" % table.encode() for table in TABLES)
    await run([f"iptables-{variant.value}-restore"], empty, time_limit=600)
