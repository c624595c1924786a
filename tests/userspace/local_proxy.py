"""Userspace mode without redirection, in the test's own process, with real workers."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kproxy.backends.interface import Outcome
from kproxy.backends.userspace.backend import UserspaceBackend
from kproxy.backends.userspace.options import Limits, PortRange, Redirect, UserspaceOptions
from kproxy.services.objects import EndpointSlice, KubeObject
from kproxy.services.tracker import ServiceTracker
from tests.services.builders import service, slice_of, tracker_of

PATIENCE = 10.0
LOCALHOST = {4: "127.0.0.1", 6: "::1"}
ANY_PORT = PortRange()
NO_LIMITS = Limits(connections=8000, flows=1000)


class LocalProxy:
    """What `kproxy run --redirect none` does between its sources and clients."""

    def __init__(self, backend: UserspaceBackend, tracker: ServiceTracker) -> None:
        self.backend, self.tracker = backend, tracker

    def address(self, name: str = "default/web:http") -> tuple[str, int]:
        """Where a Service port is reached."""
        return next((each.address, each.local_port) for each in self.backend.local_services() if each.service == name)

    async def apply(self, *objects: KubeObject) -> list[Outcome]:
        for obj in objects:
            self.tracker.upsert(obj)
        return await self.backend.sync(self.tracker.take().services, self.tracker)

    async def remove(self, kind: type[KubeObject], name: str) -> list[Outcome]:
        self.tracker.delete(kind, "default", name)
        return await self.backend.sync(self.tracker.take().services, self.tracker)

    async def metric(self, name: str, **labels: str) -> float:
        """A metric as it is now, by its name without prefix."""
        await self.backend.sync_all((), self.tracker)
        return next(
            sample.value
            for sample in self.backend.metrics()
            if sample.name == f"kproxy_userspace_{name}" and dict(sample.labels) == labels
        )

    async def until(self, condition: Callable[[float], bool], name: str, **labels: str) -> float:
        """Wait for a metric to meet a condition."""
        async with asyncio.timeout(PATIENCE):
            while not condition(value := await self.metric(name, **labels)):  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.02)
        return value

    async def connect(self, name: str = "default/web:http") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.address(name))

    async def ask(self, request: bytes = b"", name: str = "default/web:http") -> bytes:
        """Send, end the stream, and read the answer to its end."""
        async with asyncio.timeout(PATIENCE):
            reader, writer = await self.connect(name)
            try:
                writer.write(request)
                writer.write_eof()
                return await reader.read()
            finally:
                writer.close()

    def descriptors(self) -> int:
        """Open ones of all workers."""
        return sum(map(descriptors, self.backend.worker_pids()))

    def resident(self) -> int:
        """Bytes of memory of all workers."""
        statm = [Path(f"/proc/{pid}/statm").read_text().split() for pid in self.backend.worker_pids()]
        return sum(int(fields[1]) for fields in statm) * os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def running(
    *objects: KubeObject,
    limits: Limits = NO_LIMITS,
    workers: int = 1,
    port_range: PortRange = ANY_PORT,
    families: Collection[int] = (4,),
) -> AsyncIterator[LocalProxy]:
    """Serve objects for the length of a block."""
    bind = tuple(
        socket.inet_pton(socket.AF_INET if family == 4 else socket.AF_INET6, LOCALHOST[family]) for family in families
    )
    options = UserspaceOptions(redirect=Redirect.NONE, bind=bind, limits=limits, workers=workers, port_range=port_range)
    tracker = tracker_of(objects)
    backend = UserspaceBackend((), options)
    try:
        await backend.sync_all((), tracker)
        yield LocalProxy(backend, tracker)
    finally:
        backend.close()


def descriptors(pid: int) -> int:
    """How many a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def web(ports: Sequence[int], *, protocol: str = "TCP", family: int = 4, **spec: Any) -> list[KubeObject]:
    """A Service whose endpoints are ports of this machine."""
    address = "10.96.0.10" if family == 4 else "fd00:10:96::10"
    made = service(ports=[{"name": "http", "port": 80, "protocol": protocol}], clusterIP=address, **spec)
    return [made, *slices(ports, protocol=protocol, family=family)]


def slices(ports: Sequence[int], *, protocol: str = "TCP", family: int = 4) -> list[EndpointSlice]:
    return [
        slice_of(
            "web",
            LOCALHOST[family],
            name=f"web-{port}",
            ports=(("http", port),),
            protocol=protocol,
            family=f"IPv{family}",
        )
        for port in ports
    ]
