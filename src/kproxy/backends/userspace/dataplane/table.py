"""The Service ports that a worker forwards for, and how connections find theirs."""

from collections.abc import Callable

from kproxy.backends.userspace.dataplane.endpoints import Endpoint, Endpoints
from kproxy.backends.userspace.dataplane.pools import Affinity, Pool
from kproxy.backends.userspace.messages import EndpointAddress, ForwardedPort, Stuck


class Port:
    """One of them."""

    __slots__ = ("cluster", "definition", "local")

    def __init__(self, definition: ForwardedPort) -> None:
        self.definition = definition
        self.cluster, self.local = Pool(), Pool()

    def pool(self, *, local: bool) -> Pool:
        return self.local if local else self.cluster


class ForwardingTable:
    """All of them."""

    def __init__(
        self,
        affinity_clients: int,
        *,
        shared: bool,
        on_stuck: Callable[[Stuck], None],
        on_forgotten: Callable[[], None],
    ) -> None:
        """Begin empty.

        Args:
            affinity_clients: see `Limits`
            shared: whether other workers have the same table
            on_stuck: called when a client of a port with affinity gets an endpoint; only if the table is shared
            on_forgotten: called when a client is forgotten because there are too many
        """
        self._endpoints = {"TCP": Endpoints(), "UDP": Endpoints()}
        self._affinity_clients, self._shared = affinity_clients, shared
        self._on_stuck, self._on_forgotten = on_stuck, on_forgotten
        self._ports: dict[int, Port] = {}
        self._frontends: dict[int, dict[bytes, Port]] = {4: {}, 6: {}}

    def __len__(self) -> int:
        return len(self._ports)

    @property
    def failing(self) -> int:
        """How many endpoints are failing now."""
        return sum(endpoints.failing for endpoints in self._endpoints.values())

    def port(self, identifier: int) -> Port | None:
        return self._ports.get(identifier)

    def at(self, family: int, address_and_port: bytes) -> Port | None:
        """Whose connections those to an address are: a Service's of that address, or else of that node port."""
        frontends = self._frontends[family]
        return frontends.get(address_and_port) or frontends.get(address_and_port[-2:])

    def put(self, definition: ForwardedPort) -> None:
        """Add a port, or change one; its turns, affinity and connections go on."""
        port = self._ports.get(definition.id)
        if port is None:
            port = self._ports[definition.id] = Port(definition)
            previous: ForwardedPort | None = None
        else:
            previous, port.definition = port.definition, definition
        self._map(port, previous)
        for pool, addresses, local in (
            (port.cluster, definition.cluster, False),
            (port.local, definition.local, True),
        ):
            pool.by_client = definition.by_client
            self._fill(pool, addresses, self._endpoints[definition.protocol])
            self._set_affinity(pool, definition, local=local)

    def remove(self, identifier: int) -> None:
        port = self._ports.pop(identifier, None)
        if port is None:
            return
        frontends = self._frontends[port.definition.family]
        for key in port.definition.frontends:
            if frontends.get(key) is port:
                del frontends[key]
        for pool in (port.cluster, port.local):
            self._fill(pool, (), self._endpoints[port.definition.protocol])

    def stick(self, told: Stuck, now: float) -> None:
        """Learn what another worker did."""
        port = self._ports.get(told.port)
        if port is None:
            return
        pool = port.pool(local=told.local)
        for endpoint in pool.endpoints:
            if endpoint.address == told.endpoint and pool.affinity is not None:
                pool.affinity.remember(told.client, endpoint, now)
                return

    def _map(self, port: Port, previous: ForwardedPort | None) -> None:
        definition = port.definition
        frontends = self._frontends[definition.family]
        if previous is not None and previous.frontends != definition.frontends:
            for key in previous.frontends:
                # What another port took over meanwhile is that one's.
                if frontends.get(key) is port:
                    del frontends[key]
        for key in definition.frontends:
            frontends[key] = port

    @staticmethod
    def _fill(pool: Pool, addresses: tuple[EndpointAddress, ...], endpoints: Endpoints) -> None:
        old = pool.endpoints
        pool.replace([endpoints.take(address) for address in addresses])
        for endpoint in old:
            endpoints.release(endpoint)

    def _set_affinity(self, pool: Pool, definition: ForwardedPort, *, local: bool) -> None:
        if not definition.affinity_seconds:
            pool.affinity = None
            return
        if pool.affinity is None:
            pool.affinity = Affinity(definition.affinity_seconds, self._affinity_clients, self._on_forgotten)
        pool.affinity.seconds = definition.affinity_seconds
        if self._shared:

            def tell(client: str, endpoint: Endpoint) -> None:
                self._on_stuck(Stuck(definition.id, local, client, endpoint.address))

            pool.on_stuck = tell
