"""A node and its neighbours, for the length of a block: pods that answer, clients that ask."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Self

import aiohttp
from pyroute2.netlink.exceptions import NetlinkError

from kproxy.lab.namespaces import Namespace
from kproxy.lab.privileges import LabUnavailableError
from kproxy.lab.probe import Client, Flow, Outcome, Sample, Transport, empty_sample, probe
from kproxy.lab.process import Process, start
from kproxy.lab.servers import serve
from kproxy.lab.topology import FABRIC, HOST_PORT, NODE, PODS, SERVER_PORTS, VANTAGE_POINTS
from kproxy.lab.wiring import wire

DEFAULT_PATIENCE = 0.9
"""Less than TCP takes to send a lost SYN again (RFC 6298), so that a lost one is seen."""
CONCURRENCY = 8


class Lab:
    """The namespaces of `topology`, wired, with the pods' servers running on the current event loop.

    Clients are named as in `topology.VANTAGE_POINTS`. Any number of labs can be open at a time.
    """

    def __init__(self, namespaces: Mapping[str, Namespace], patience: float) -> None:
        self._namespaces = namespaces
        self._clients = {name: Client(namespaces[name]) for name in VANTAGE_POINTS}
        self.patience = patience
        """Seconds after which a request without an answer counts as timed out."""

    @classmethod
    @asynccontextmanager
    async def open(cls, *, patience: float = DEFAULT_PATIENCE) -> AsyncIterator[Self]:
        """Build the lab, and take it down at the end of the block.

        Args:
            patience: see `Lab.patience`; more than the default for machines under emulation.

        Raises:
            LabUnavailableError: no right to make namespaces or to configure them.
        """
        async with AsyncExitStack() as stack:
            try:
                namespaces = {name: stack.enter_context(Namespace(name)) for name in (FABRIC, *VANTAGE_POINTS)}
                wire(namespaces)
            except (OSError, NetlinkError) as error:
                raise LabUnavailableError(f"cannot build network namespaces: {error}") from error
            for pod in PODS.values():
                if pod.serves:
                    servers = await serve(namespaces[pod.name], pod.name, (*SERVER_PORTS, pod.own_port))
                    stack.push_async_callback(servers.aclose)
            servers = await serve(namespaces[NODE.name], NODE.name, [HOST_PORT])
            stack.push_async_callback(servers.aclose)
            yield cls(namespaces, patience)

    def namespace(self, name: str) -> Namespace:
        """The namespace of a vantage point.

        Raises:
            KeyError: no such vantage point.
        """
        return self._namespaces[name]

    def flow(self, client: str, transport: Transport, address: str, port: int) -> Flow:
        """A socket of a client's for several requests, to be closed by the caller (`with`)."""
        return Flow(self._clients[client], transport, address, port, self.patience)

    async def probe(
        self, client: str, transport: Transport, address: str, port: int, patience: float | None = None
    ) -> Outcome:
        """One request from a fresh socket in the client's namespace; `patience` replaces the lab's."""
        return await probe(self._clients[client], transport, address, port, patience or self.patience)

    async def sample(self, client: str, transport: Transport, address: str, port: int, tries: int) -> Sample:
        """Many requests, each from a fresh socket, a few at a time."""
        sample = empty_sample()
        remaining = iter(range(tries))

        async def ask() -> None:
            for _ in remaining:
                sample.add(await self.probe(client, transport, address, port))

        async with asyncio.TaskGroup() as group:
            for _ in range(min(CONCURRENCY, tries)):
                group.create_task(ask())
        return sample

    def process(
        self, where: str, argv: Sequence[str], env: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[Process]:
        """Run a program in a namespace for the length of a block; see `process.Process`."""
        return start(self.namespace(where), argv, env)

    def http(self, client: str) -> aiohttp.ClientSession:
        """An HTTP client in a namespace, to be closed by the caller (`async with`)."""
        namespace = self.namespace(client)
        connector = aiohttp.TCPConnector(
            socket_factory=lambda info: namespace.socket(info[0], info[1], info[2]), force_close=True
        )
        return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=5))
