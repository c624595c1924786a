"""Where the time of a start goes: the interpreter, imports, lists, the tracker, the compiler, the kernel."""

import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, TypeVar

import msgspec

from kproxy.bench import cluster
from kproxy.bench.cluster import Size
from kproxy.bench.start_up import SERVING, VERSION
from kproxy.daemon import memory
from kproxy.lab.namespaces import Namespace
from kproxy.services.addresses import Family
from kproxy.services.objects import EndpointSlice, Service
from kproxy.services.tracker import ServiceTracker

K = TypeVar("K", Service, EndpointSlice)
T = TypeVar("T")

_CHUNK: Final = 65536
_EMPTY: Final = ""


class Phase(NamedTuple):
    """Seconds; the least of several repetitions where there are any, for whatever else the machine does only adds."""

    name: str
    clock: float
    cpu: float


def measure(size: Size, *, repetitions: int = 5) -> list[Phase]:
    """Measure each phase on its own.

    Args:
        size: of the cluster
        repetitions: of what can be repeated

    Raises:
        OSError: no right to make a network namespace, or the kernel refuses
    """
    starts = [
        _least(name, repetitions, lambda statement=statement: _python(statement))  # type: ignore[misc]
        for name, statement in (
            ("interpreter alone", _EMPTY),
            ("… with --version", VERSION),
            ("… with all imports of a proxy that serves", SERVING),
        )
    ]
    services = [cluster.service(number, mixed=size.mixed) for number in range(size.services)]
    slices = [made for number in range(size.services) for made in cluster.endpoint_slices(number, size.endpoints)]
    bodies = _body("ServiceList", services), _body("EndpointSliceList", slices)
    del services, slices
    gc.collect()
    gc.freeze()
    memory.expect_many_objects()
    try:
        tracker, listed = _list(*bodies)
        with Namespace("phases") as namespace:
            return [*starts, *listed, *_compile(tracker), namespace.run(lambda: _sync(tracker))]
    finally:
        gc.unfreeze()


def _list(services: bytes, slices: bytes) -> tuple[ServiceTracker, list[Phase]]:
    tracker = ServiceTracker("node-0")

    def take_in() -> None:
        for obj in decoded:
            tracker.upsert(obj)

    def decode() -> list[Service | EndpointSlice]:
        return [*_decode(services, Service), *_decode(slices, EndpointSlice)]

    decoded, decoding = _once("decode both lists", decode)
    _, tracking = _once("tracker takes them in", take_in)
    tracker.take()
    return tracker, [decoding, tracking]


def _compile(tracker: ServiceTracker) -> list[Phase]:
    from kproxy.backends.nftables.desired import DesiredTable

    desired = DesiredTable(Family.IPV4)

    def compile_all() -> None:
        for name in tracker.names():
            desired.put(name, tracker.ports(name, Family.IPV4), None)

    _, modelled = _once("model", lambda: [tracker.ports(name, Family.IPV4) for name in tracker.names()])
    _, compiled = _once("model and compiler", compile_all)
    _, joined = _once("records of every set, together", lambda: dict(desired.everything()))
    return [modelled, compiled, joined]


def _sync(tracker: ServiceTracker) -> Phase:
    from kproxy.backends.nftables.backend import NftablesBackend
    from kproxy.backends.nftables.ruleset import RulesetOptions

    backend = NftablesBackend((Family.IPV4,), RulesetOptions())
    try:
        _, synced = _once(
            "full sync: model, compiler, encoder, kernel", lambda: asyncio.run(backend.sync_all((), tracker))
        )
    finally:
        backend.close()
    return synced


def _body(kind: str, items: Iterable[object]) -> bytes:
    return msgspec.json.encode({"kind": kind, "metadata": {"resourceVersion": "1"}, "items": list(items)})


def _decode(body: bytes, kind: type[K]) -> list[K]:
    from kproxy.sources.list_stream import ListDecoder
    from kproxy.sources.wire import ObjectDecoder

    decoder = ListDecoder(ObjectDecoder(kind))
    found = []
    for start in range(0, len(body), _CHUNK):
        found += [item for item in decoder.feed(body[start : start + _CHUNK]) if isinstance(item, kind)]
    rest, _ = decoder.finish()
    return found + [item for item in rest if isinstance(item, kind)]


def _python(statement: str) -> None:
    subprocess.run([sys.executable, "-c", statement], check=True, capture_output=True)


def _once(name: str, work: Callable[[], T]) -> tuple[T, Phase]:
    begin, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, Phase(name, time.perf_counter() - begin, time.process_time() - cpu)


def _least(name: str, repetitions: int, work: Callable[[], None]) -> Phase:
    """Of programs: their CPU time is not ours."""
    seconds = []
    for _ in range(repetitions):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return Phase(name, min(seconds), min(seconds))
