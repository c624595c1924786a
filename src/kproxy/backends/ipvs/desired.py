"""What one family's virtual servers, addresses and sets should be, kept up to date one Service at a time."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

from kproxy.backends.ipvs.compile import NOTHING, Compiled, Elements, NodeAddresses, VirtualServer, compile_service
from kproxy.backends.ipvs.delta import Delta
from kproxy.backends.ipvs.options import IpvsOptions
from kproxy.backends.ipvs.sets import SetName
from kproxy.kernel.ipset.elements import Element
from kproxy.kernel.ipvs.protocol import ServerKey
from kproxy.services.addresses import Address
from kproxy.services.model import ServiceName, ServicePort

T = TypeVar("T")


class DesiredState:
    """What every Service needs, compiled, and what follows from all of them together."""

    def __init__(self, options: IpvsOptions) -> None:
        self.options = options
        self.node = NodeAddresses()
        """A change takes effect with the next `put` of each Service in `node_dependent`."""
        self.servers: dict[ServerKey, VirtualServer] = {}
        self.node_dependent: set[ServiceName] = set()
        self._compiled: dict[ServiceName, Compiled] = {}
        self._owners: dict[ServerKey, ServiceName] = {}
        self._waiting: set[ServiceName] = set()
        """Those that want a virtual server which another Service has: a node port on an external address of it."""
        self._addresses: Counter[Address] = Counter()
        """How many Services need each."""
        self._elements: Counter[tuple[SetName, Element]] = Counter()

    def counts(self) -> dict[str, int]:
        """How many objects of each kind there should be; looks at all virtual servers."""
        return {
            "virtual servers": len(self.servers),
            "real servers": sum(len(server.backends) for server in self.servers.values()),
            "addresses": len(self._addresses),
            "set elements": len(self._elements),
        }

    def put(self, services: Mapping[ServiceName, Collection[ServicePort]]) -> Delta:
        """Set what Services need (nothing, when one has no ports); returns the difference."""
        delta = Delta()
        frontends: dict[ServiceName, tuple[Compiled, Compiled]] = {}
        """Those of whom more than endpoints has changed, before and after."""
        elements: list[tuple[Elements, Elements]] = []
        for name, ports in services.items():
            old = self._compiled.get(name, NOTHING)
            new = compile_service(ports, self.options, self.node, old)
            if new is old:  # nothing, as before
                continue
            if new.frontends is not old.frontends or name in self._waiting:
                frontends[name] = old, new
            else:
                self._compiled[name] = new
                for key, server in new.servers.items():
                    delta.change_backends(key, old.servers[key].backends, server.backends)
                self.servers.update(new.servers)
            if old.hairpins != new.hairpins:
                elements.append((old.hairpins, new.hairpins))
        if frontends:
            self._put_frontends(frontends, delta)
            elements += [(old.frontends.elements, new.frontends.elements) for old, new in frontends.values()]
        if elements:
            first, last = _count(self._elements, elements)
            for found, target in ((first, delta.elements_added), (last, delta.elements_removed)):
                for set_name, element in found:
                    target.setdefault(set_name, []).append(element)
        return delta

    def _put_frontends(self, changes: Mapping[ServiceName, tuple[Compiled, Compiled]], delta: Delta) -> None:
        released: dict[ServerKey, VirtualServer] = {}
        for name, (old, new) in changes.items():
            if new.servers:
                self._compiled[name] = new
            else:
                self._compiled.pop(name, None)
            (self.node_dependent.add if new.frontends.depends_on_node else self.node_dependent.discard)(name)
            for key in old.servers:
                if key not in new.servers and self._owners.get(key) == name:
                    del self._owners[key]
                    released[key] = self.servers.pop(key)
        waiting = self._waiting if released else set()
        for name in {*changes, *waiting} if waiting else changes:
            self._claim(name, released, delta)
        delta.servers_removed += released
        addresses = [(old.frontends.addresses, new.frontends.addresses) for old, new in changes.values()]
        delta.addresses_added, delta.addresses_removed = _count(self._addresses, addresses)

    def _claim(self, name: ServiceName, released: dict[ServerKey, VirtualServer], delta: Delta) -> None:
        self._waiting.discard(name)
        for key, server in self._compiled.get(name, NOTHING).servers.items():
            if self._owners.setdefault(key, name) != name:
                self._waiting.add(name)
                continue
            had = self.servers.get(key) or released.pop(key, None)
            if had is None:
                delta.add_server(key, server)
            elif had != server:
                delta.change_server(key, had, server)
            self.servers[key] = server

    # ------------------------------------------------------------------ the whole

    def addresses(self) -> set[Address]:
        """Every address that the dummy interface must have."""
        return set(self._addresses)

    def elements(self) -> dict[SetName, set[Element]]:
        """Every set's elements."""
        found: dict[SetName, set[Element]] = {name: set() for name in SetName}
        for name, element in self._elements:
            found[name].add(element)
        return found

    def owner(self, key: ServerKey) -> ServiceName | None:
        """The Service that a virtual server belongs to."""
        return self._owners.get(key)

    def user(self, *, address: Address | None = None, element: Element | None = None) -> ServiceName | None:
        """A Service that needs an address or an element; searches all, for error messages."""
        for name, compiled in self._compiled.items():
            elements = compiled.frontends.elements | compiled.hairpins
            if address in compiled.frontends.addresses or any(element == other for _, other in elements):
                return name
        return None


def _count(uses: Counter[T], changes: Iterable[tuple[Collection[T], Collection[T]]]) -> tuple[list[T], list[T]]:
    """Count uses before and after up and down; returns what is needed only now, and what is not needed any more."""
    before: dict[T, bool] = {}
    """Whether what was counted was needed by anybody."""
    for old, new in changes:
        for item in new:
            if item not in old:
                before.setdefault(item, item in uses)
                uses[item] += 1
        for item in old:
            if item not in new:
                before.setdefault(item, item in uses)
                uses[item] -= 1
    first = [item for item, used in before.items() if not used and uses[item] > 0]
    last = [item for item, used in before.items() if used and not uses[item]]
    for item in before:
        if not uses[item]:
            del uses[item]
    return first, last
