"""Health check node ports: they tell load balancers on which nodes a Service has endpoints (`healthCheckNodePort`)."""

import asyncio
import functools
import json
from collections.abc import Callable, Collection, Iterable
from http import HTTPStatus

from kproxy.node.listening import ANY, listening_socket
from kproxy.node.probe_http import ProbeConnection, ProbeConnections, Response
from kproxy.services.addresses import Address, Family, format_address
from kproxy.services.model import ServiceName
from kproxy.services.slices import PackedSlice

_FIRST_RETRY, _LONGEST_RETRY = 0.1, 30.0


def count_local_ready(slices: Iterable[PackedSlice]) -> int:
    """How many ready endpoints a Service has on this node; those that terminate take no new clients (KEP-1669).

    An endpoint with several ports counts once, and one with an address in each family as well.
    """
    ready: dict[Family, set[Address]] = {family: set() for family in Family}
    for slice_ in slices:
        if slice_.ports:
            ready[slice_.family].update(c.address for c in slice_.candidates if c.local and c.ready)
    return max(map(len, ready.values()))


class ServiceHealth:
    """Serves each Service's health on a port of its own, while `run` runs; an idle port costs no task."""

    def __init__(
        self,
        healthy: Callable[[], bool],
        *,
        on_failure: Callable[[ServiceName, int, str], None] = lambda name, port, reason: None,
    ) -> None:
        """Serve nothing yet.

        Args:
            healthy: whether the proxy itself is
            on_failure: called with a Service, its port and a reason, once each time that a port cannot be
                served; it is tried again until it can
        """
        self._healthy = healthy
        self._on_failure = on_failure
        self._ports: dict[ServiceName, int] = {}
        self._local_endpoints: dict[ServiceName, int] = {}
        self._claims: dict[int, dict[ServiceName, None]] = {}
        """Who wants a port, in the order of their coming; the first one has it."""
        self._addresses: frozenset[Address] = frozenset((ANY,))
        self._listeners: dict[int, dict[Address, asyncio.Server]] = {}
        self._dirty: set[int] = set()
        """Ports whose listeners may not be as they should."""
        self._retries: dict[int, tuple[float, float]] = {}
        """Ports that failed: when to try again, and how many seconds that is after the last time."""
        self._connections = ProbeConnections()
        self._wake = asyncio.Event()

    def update(self, name: ServiceName, port: int, local_endpoints: int) -> None:
        """Set what a Service's port says.

        Args:
            name: the Service
            port: its `healthCheckNodePort`; 0: it has none, or has gone
            local_endpoints: how many endpoints it has on this node, as `count_local_ready` counts
        """
        old = self._ports.get(name, 0)
        if port:
            self._local_endpoints[name] = local_endpoints
        if old == port:
            return
        if old:
            self._release(name, old)
        if port:
            self._claim(name, port)
        else:
            del self._ports[name], self._local_endpoints[name]

    def set_addresses(self, addresses: Collection[Address] | None) -> None:
        """Set where the ports answer: where NodePorts do; None: everywhere."""
        new = frozenset((ANY,)) if addresses is None else frozenset(addresses)
        if new != self._addresses:
            self._addresses = new
            self._touch(self._claims)

    async def run(self) -> None:
        """Open and close ports until cancelled."""
        clock = asyncio.get_running_loop().time
        try:
            while True:
                self._wake.clear()
                while self._dirty:
                    await self._listen(self._dirty.pop())
                due = min((due for due, _ in self._retries.values()), default=None)
                try:
                    async with asyncio.timeout_at(due):
                        await self._wake.wait()
                except TimeoutError:
                    self._dirty.update(port for port, (due, _) in self._retries.items() if due <= clock())
        finally:
            for listeners in self._listeners.values():
                for server in listeners.values():
                    server.close()
            self._listeners.clear()
            self._connections.abort()

    # ------------------------------------------------------------------ who has a port

    def _claim(self, name: ServiceName, port: int) -> None:
        self._ports[name] = port
        claims = self._claims.setdefault(port, {})
        claims[name] = None
        owner = next(iter(claims))
        if owner == name:
            self._touch([port])
        else:
            self._on_failure(name, port, f"the port belongs to Service {owner}")

    def _release(self, name: ServiceName, port: int) -> None:
        claims = self._claims[port]
        del claims[name]
        if not claims:
            del self._claims[port]
        self._retries.pop(port, None)  # whoever has it next shall know, if it fails
        self._touch([port])

    def _respond(self, port: int) -> Response | None:
        name = next(iter(self._claims.get(port, ())), None)
        if name is None:
            return None
        count, healthy = self._local_endpoints[name], self._healthy()
        body = {
            "service": {"namespace": name.namespace, "name": name.name},
            "localEndpoints": count,
            "serviceProxyHealthy": healthy,
        }
        headers = {
            "Content-Type": "application/json",
            "X-Content-Type-Options": "nosniff",
            "X-Load-Balancing-Endpoint-Weight": str(count),
        }
        status = HTTPStatus.OK if count and healthy else HTTPStatus.SERVICE_UNAVAILABLE
        return Response(status, headers, json.dumps(body, indent="\t").encode())

    # ------------------------------------------------------------------ listening

    def _touch(self, ports: Iterable[int]) -> None:
        self._dirty.update(ports)
        self._wake.set()

    async def _listen(self, port: int) -> None:
        """Make a port's listeners those that it should have."""
        wanted = self._addresses if port in self._claims else frozenset()
        listeners = self._listeners.setdefault(port, {})
        for address in listeners.keys() - wanted:
            listeners.pop(address).close()
        failures = []
        for address in sorted(wanted - listeners.keys()):
            try:
                listeners[address] = await self._open(address, port)
            except OSError as error:
                failures.append(f"cannot listen on {format_address(address)} port {port}: {error.strerror}")
        if not listeners:
            del self._listeners[port]
        if not failures:
            self._retries.pop(port, None)
            return
        _, waited = self._retries.get(port, (0.0, 0.0))
        delay = min(2 * waited, _LONGEST_RETRY) or _FIRST_RETRY
        self._retries[port] = asyncio.get_running_loop().time() + delay, delay
        if not waited and port in self._claims:
            self._on_failure(next(iter(self._claims[port])), port, "; ".join(failures))

    async def _open(self, address: Address, port: int) -> asyncio.Server:
        listening = listening_socket(address, port)
        try:
            respond = functools.partial(self._respond, port)
            connection = functools.partial(ProbeConnection, self._connections, respond)
            return await asyncio.get_running_loop().create_server(connection, sock=listening)
        except BaseException:
            listening.close()
            raise
