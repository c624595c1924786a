"""A cluster's proxies as a client on one of its nodes meets them: updates, connection set-up, and load.

The endpoints are servers of this process, on ports of their own, at an address of this host that the cluster can reach.
A change moves a Service from one to another.
"""

import asyncio
import socket
from asyncio import Server
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import IPv4Address, ip_address
from typing import Final, NamedTuple

from kproxy.bench.local import prober
from kproxy.bench.local.endpoint import Endpoint
from kproxy.bench.local.prober import Await, Connect, Moment, Reach, Target
from kproxy.bench.remote import load
from kproxy.bench.remote.witnesses import Witnesses
from kproxy.bench.remote.workspace import Workspace
from kproxy.bench.results.schema import Run
from kproxy.lab.probe import now

_UNUSED: Final = int(IPv4Address("198.18.0.0"))
"""The network for benchmarks (RFC 2544): endpoints that nobody asks."""
_AT_ONCE: Final = 8
_PORT: Final = 80


class ClusterError(Exception):
    """The cluster does not do what there is to measure; the message says what, on one line."""


class Extent(NamedTuple):
    """How much is measured."""

    services: int
    endpoints: int
    changes: int
    connections: int
    load_seconds: int
    """Of wrk and iperf3, with and without a Service; 0: none."""
    patience: float
    """Seconds that the cluster's proxy has for anything."""
    rounds: int
    """Each makes Services of its own, and takes them away."""


class Servers(NamedTuple):
    """Endpoints at one address, each at a port of its own."""

    first: Server
    second: Server
    stream: Server
    """It keeps a port, and shows that its Service works, until iperf3 takes the port over."""


@asynccontextmanager
async def endpoint_servers(address: str) -> AsyncIterator[Servers]:
    """The endpoints, at an address of this host, for the length of a round.

    Raises:
        ClusterError: nothing can listen there
    """
    async with AsyncExitStack() as stack:
        loop = asyncio.get_running_loop()
        servers = []
        for _ in Servers._fields:
            try:
                server = await loop.create_server(Endpoint, address, 0)
            except OSError as error:
                raise ClusterError(f"cannot listen at {address}: {error.strerror}") from error
            stack.callback(server.close)
            servers.append(server)
        yield Servers(*servers)


def _target(server: Server) -> Target:
    address, port = server.sockets[0].getsockname()[:2]
    return address, port


def own_address(server: str, port: int) -> str:
    """The address by which this host reaches the API server: the cluster can reach us there.

    Raises:
        ClusterError: there is none that an endpoint may have
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((server, port))
        except OSError as error:
            raise ClusterError(f"no route to the API server at {server}: {error.strerror}") from error
        address = str(sock.getsockname()[0])
    if ip_address(address).is_loopback:
        raise ClusterError("the API server is on this host: name an address that the cluster can reach with --address")
    return address


async def measure(
    workspace: Workspace,
    servers: Servers,
    extent: Extent,
    witnesses: Witnesses,
    run: Run,
    doing: Callable[[str], None],
    done: Callable[[], None],
) -> list[Target]:
    """Measure a round into a run; gives the Services that were asked.

    Args:
        workspace: where to make Services
        servers: their endpoints
        extent: how much
        witnesses: who else adds to the run
        run: where samples go
        doing: called with what is being done
        done: called for each Service made and each change measured

    Raises:
        ClusterError: cluster IPs do not answer here, or a change is not seen
        WorkspaceError: the API refuses something
    """
    await witnesses.before()
    doing(f"making {extent.services} Services")
    begin = now()
    first = _target(servers.first)
    ips = await _create(workspace, first, extent, done)
    stream = await workspace.create(extent.services, [_target(servers.stream)])
    services: list[Target] = [(ips[number], _PORT) for number in (0, (extent.services - 1) // 2, extent.services - 1)]
    doing("waiting until they answer")
    reached = await asyncio.to_thread(prober.reach, Reach([*services, (stream, _PORT)], extent.patience))
    if reached.at is None:
        raise ClusterError(
            f"cluster IPs do not answer within {extent.patience:g} s: run this on a node, or in a pod of the "
            f"cluster, at whose address the cluster's proxies reach it"
        )
    run.add("creation_to_synced", [reached.at - begin])
    await witnesses.created()
    doing("connections")
    await _connections([first, *services], extent, run)
    await witnesses.changing()
    doing("changes")
    await _changes(workspace, services[-1], extent, (_target(servers.second), first), run, done)
    await witnesses.changed(extent.changes)
    await load.measure(first, services[-1], servers.stream, (stream, _PORT), extent.load_seconds, run, doing)
    await witnesses.finished()
    return services


async def until_gone(services: list[Target], patience: float) -> None:
    """Wait until the proxy has dropped deleted Services: the next round starts from what was there before.

    Raises:
        ClusterError: they still answer after so many seconds
    """
    gone = await asyncio.to_thread(prober.leave, Reach(services, patience))
    if gone.at is None:
        raise ClusterError(f"cluster IPs of Services that are deleted still answer after {patience:g} s")


async def _connections(targets: list[Target], extent: Extent, run: Run) -> None:
    found = await asyncio.to_thread(prober.connect, Connect(targets, extent.connections, extent.patience))
    for name, seconds in zip(("direct", "first", "middle", "last"), found.seconds, strict=True):
        run.add(f"connect_{name}", seconds)
    if found.failed:
        run.miss(f"{found.failed} of {extent.connections * len(targets)} connections failed")


async def _changes(
    workspace: Workspace,
    service: Target,
    extent: Extent,
    endpoints: tuple[Target, Target],
    run: Run,
    done: Callable[[], None],
) -> None:
    latencies: list[float] = []
    try:
        for number in range(extent.changes):
            latencies.append(await _change(workspace, service, extent, endpoints[number % 2]))
            done()
    finally:
        run.add("update_connection", latencies)


async def _create(workspace: Workspace, target: Target, extent: Extent, done: Callable[[], None]) -> list[str]:
    ips = [""] * extent.services
    asked = {0, (extent.services - 1) // 2, extent.services - 1}
    numbers = iter(range(extent.services))

    async def work() -> None:
        for number in numbers:
            unused = [
                (str(IPv4Address(_UNUSED + (number * extent.endpoints + i) % (1 << 17))), target[1])
                for i in range(extent.endpoints)
            ]
            ips[number] = await workspace.create(number, [target] if number in asked else unused)
            done()

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(work())
    return ips


async def _change(workspace: Workspace, service: Target, extent: Extent, endpoint: Target) -> float:
    awaited = asyncio.create_task(asyncio.to_thread(prober.await_endpoint, Await(service, endpoint, extent.patience)))
    await asyncio.sleep(0.02)  # the thread tries already
    begin = now()
    await workspace.set_port(extent.services - 1, endpoint[1])
    seen: Moment = await awaited
    if seen.at is None:
        raise ClusterError(f"a change was not seen within {extent.patience:g} s")
    return seen.at - begin
