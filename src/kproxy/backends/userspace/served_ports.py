"""The Service ports that workers forward, and the local ports on which they await connections."""

import itertools
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

from kproxy.backends.userspace.desired import NUMBER, forwarded, forwarded_locally
from kproxy.backends.userspace.local_ports import LocalPort, LocalPorts, NoFreePortError
from kproxy.backends.userspace.messages import ForwardedPort, Listen
from kproxy.backends.userspace.redirected_model import Listening
from kproxy.backends.userspace.workers import Workers
from kproxy.services.addresses import Address, Family
from kproxy.services.model import ServiceName, ServicePort
from kproxy.services.objects import Protocol

log = logging.getLogger(__name__)

PROTOCOLS: tuple[Protocol, ...] = ("TCP", "UDP")
"""Those that are forwarded."""

Key: TypeAlias = tuple[ServiceName, Family, Protocol, int]


class _Listener(NamedTuple):
    id: int
    address: Address
    number: int


class _Served:
    """One Service port."""

    def __init__(self, definition: ForwardedPort, port: ServicePort) -> None:
        self.definition, self.port = definition, port
        self.listeners: dict[bool, _Listener] = {}
        """By whether it is for the Local policy."""


class ServedPorts:
    """Keeps workers and local ports as the model has it.

    Redirected TCP connections share one local port for each family and policy, as each tells where it was sent to.
    Datagrams do not, so each UDP port of a Service has a local port; and so has everything without redirection.
    """

    def __init__(self, workers: Workers, local_ports: LocalPorts, *, redirected: bool) -> None:
        self._workers, self._local_ports, self._redirected = workers, local_ports, redirected
        self._numbers = itertools.count(1)
        self._served: dict[Key, _Served] = {}
        self._of_service: dict[ServiceName, set[Key]] = {}
        self._shared: dict[Family, dict[bool, _Listener]] = {}
        self._to_put: list[ForwardedPort] = []
        self._to_listen: list[tuple[Listen, LocalPort]] = []
        self._to_remove: list[int] = []
        self._to_unlisten: list[int] = []
        self._addresses: dict[Family, Address] = {}
        self.unserved: dict[Key, str] = {}
        """Those without a local port, and why."""

    # ------------------------------------------------------------------ changes

    def set_address(self, family: Family, address: Address) -> None:
        """Await a family's connections there; services that are served get their listeners with the next `put`.

        Raises:
            NoFreePortError: nothing can be bound there
        """
        if self._addresses.get(family) == address:
            return
        self._addresses[family] = address
        if not self._redirected:
            return
        opened: dict[bool, _Listener] = {}
        for local in (False, True):
            name = f"shared {family.value} {'local' if local else 'cluster'}"
            opened[local] = self._listen(address, "TCP", family, name, local=local, port=0)
        self._to_unlisten += [listener.id for listener in self._shared.get(family, {}).values()]
        self._shared[family] = opened

    def put(self, name: ServiceName, ports: Iterable[ServicePort]) -> None:
        """Have a Service's ports served, or none of them."""
        keys = set()
        for port in ports:
            if port.protocol not in PROTOCOLS or port.family not in self._addresses:
                continue
            key = (name, port.family, port.protocol, port.port)
            keys.add(key)
            self._put_port(key, port)
        for key in self._of_service.get(name, set()) - keys:
            served = self._served.pop(key)
            self.unserved.pop(key, None)
            self._to_remove.append(served.definition.id)
            self._to_unlisten += [listener.id for listener in served.listeners.values()]
        if keys:
            self._of_service[name] = keys
        else:
            self._of_service.pop(name, None)

    def _put_port(self, key: Key, port: ServicePort) -> None:
        served = self._served.get(key)
        identifier = served.definition.id if served else next(self._numbers)
        make = forwarded if self._redirected else forwarded_locally
        definition = make(port, identifier)
        if served is None:
            served = self._served[key] = _Served(definition, port)
            self._to_put.append(definition)
        elif served.definition != definition:
            self._to_put.append(definition)
        served.definition, served.port = definition, port
        wanted = self._scopes(port, definition)
        for local in served.listeners.keys() - wanted:
            self._to_unlisten.append(served.listeners.pop(local).id)
        address = self._addresses[port.family]
        for local in wanted:
            listener = served.listeners.get(local)
            if listener is not None and listener.address == address:
                continue
            name = f"{definition.label} {local}"
            try:
                fresh = self._listen(address, port.protocol, port.family, name, local=local, port=identifier)
            except NoFreePortError as error:
                if self.unserved.get(key) != str(error):
                    log.error("Service port %s is rejected: no local port: %s", definition.label, error)
                self.unserved[key] = str(error)
                continue
            self.unserved.pop(key, None)
            if listener is not None:
                self._to_unlisten.append(listener.id)
            served.listeners[local] = fresh

    def _scopes(self, port: ServicePort, definition: ForwardedPort) -> set[bool]:
        """For which policies a Service port needs a local port of its own."""
        if not self._redirected:
            return {False}
        if port.protocol == "TCP":
            return set()
        return {local for local, pool in ((False, definition.cluster), (True, definition.local)) if pool}

    def _listen(
        self, address: Address, protocol: Protocol, family: Family, name: str, *, local: bool, port: int
    ) -> _Listener:
        bound = self._local_ports.bind(address, protocol, name)
        identifier = next(self._numbers)
        self._to_listen.append((Listen(identifier, protocol, NUMBER[family], local, port), bound))
        return _Listener(identifier, address, bound.number)

    # ------------------------------------------------------------------ telling workers

    def tell_additions(self) -> int:
        """Tell workers what is new, before packets come; returns how many ports are."""
        count = len(self._to_put)
        self._workers.put(self._to_put)
        for told, bound in self._to_listen:
            self._workers.listen(told, bound)
        self._to_put, self._to_listen = [], []
        return count

    def tell_removals(self) -> bool:
        """Tell them what has gone, when no more packets come; returns whether local ports get free by it."""
        closing = bool(self._to_unlisten)
        self._workers.remove(self._to_remove)
        for identifier in self._to_unlisten:
            self._workers.unlisten(identifier)
        self._to_remove, self._to_unlisten = [], []
        return closing

    # ------------------------------------------------------------------ what is there

    def listening(self, name: ServiceName, port: ServicePort) -> Listening:
        """Where a Service port's connections are awaited."""
        served = self._served.get((name, port.family, port.protocol, port.port))
        if served is None:
            return Listening(0, 0)
        shared = self._redirected and port.protocol == "TCP"
        listeners = self._shared.get(port.family, {}) if shared else served.listeners
        return Listening(*(listeners[local].number if local in listeners else 0 for local in (False, True)))

    def counts(self) -> Counter[Family]:
        """How many Service ports are forwarded; looks at all of them."""
        return Counter(family for _, family, _, _ in self._served)

    def own_ports(self) -> Iterator[tuple[ServicePort, Address, int]]:
        """Service ports that have a local port of their own for the Cluster policy: its address and number."""
        for served in self._served.values():
            listener = served.listeners.get(False)
            if listener is not None:
                yield served.port, listener.address, listener.number
