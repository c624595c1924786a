"""One family's virtual servers, addresses and sets in the kernel, and the requests that keep them as desired."""

import errno
import time
from collections.abc import Collection, Container, Iterable, Mapping

from kproxy.backends.interface import Model, Outcome, Refused
from kproxy.backends.ipvs import readback, repair
from kproxy.backends.ipvs.compile import NodeAddresses
from kproxy.backends.ipvs.delta import Delta
from kproxy.backends.ipvs.desired import DesiredState
from kproxy.backends.ipvs.draining import Draining
from kproxy.backends.ipvs.options import IpvsOptions
from kproxy.backends.ipvs.readback import PresentState, Sockets
from kproxy.backends.ipvs.sets import SetName, specifications
from kproxy.kernel.ipset.elements import Element, SetSpecification
from kproxy.kernel.ipset.socket import SetElements
from kproxy.kernel.ipvs.protocol import RealServerName, ServerKey
from kproxy.kernel.links import HostAddress
from kproxy.kernel.requests import Refusal, Request
from kproxy.services.addresses import Address, Family
from kproxy.services.model import ServiceName

INTERFACE = "kube-ipvs0"
_NOT_AS_THOUGHT = (errno.EEXIST, errno.ENOENT, errno.ESRCH, errno.ENODEV)
"""Nobody's object is at fault: a full sync will find out what happened."""


class Programmer:
    """Programs one family. Not for use before the first `sync_all`."""

    def __init__(self, sockets: Sockets, family: Family, options: IpvsOptions) -> None:
        self.family = family
        self.desired = DesiredState(options)
        self.draining = Draining()
        self._sockets = sockets
        self._specifications = specifications(family)
        self._interface = 0
        self._node_addresses: frozenset[Address] = frozenset()
        self._node_ips: frozenset[Address] = frozenset()
        self._programmed: set[ServerKey] = set()
        self._node_changed = False
        self._loaded = False

    def set_node_port_addresses(self, addresses: Iterable[Address]) -> None:
        """Set where NodePorts answer."""
        found = frozenset(a for a in addresses if len(a) == self.family.length)
        self._node_changed = self._node_changed or found != self._node_addresses
        self._node_addresses = found

    def set_node_ips(self, addresses: Iterable[Address]) -> None:
        """Set the node's own address."""
        found = frozenset(a for a in addresses if len(a) == self.family.length)
        self._node_changed = self._node_changed or found != self._node_ips
        self._node_ips = found

    # ------------------------------------------------------------------ a change

    def sync(self, changed: Iterable[ServiceName], model: Model) -> Outcome:
        """Write the Services that changed.

        Raises:
            OSError: requests could not be sent
        """
        names = set(changed)
        if self._node_changed and self._apply_node(self.desired.node.own, self.desired.addresses()):
            names |= self.desired.node_dependent
        delta = self.desired.put({name: model.ports(name, self.family) for name in names})
        return self._write(delta, full=False)

    def _apply_node(self, own: frozenset[Address], dummy: Container[Address]) -> bool:
        """Learn the node's addresses; returns whether that changes any Service.

        Who sets where NodePorts answer lists the addresses of all interfaces, those of the dummy interface included.
        """
        node_ports = frozenset(a for a in self._node_addresses if a in own or a not in dummy)
        node = NodeAddresses(node_ports, own, self._node_ips)
        changed = node != self.desired.node
        self.desired.node = node
        self._node_changed = False
        return changed

    # ------------------------------------------------------------------ everything

    def sync_all(self, changed: Collection[ServiceName], model: Model) -> Outcome:
        """Read everything back and write the difference.

        Raises:
            OSError: the kernel could not be asked, or requests not sent
        """
        self._interface = self._sockets.links.ensure_dummy(INTERFACE)
        state = self._read()
        for name, wanted in self._specifications.items():
            self._sockets.sets.ensure(wanted, state.sets[name])
        moved = self._apply_node(state.own_addresses, state.addresses | self.desired.addresses())
        names: Iterable[ServiceName] = changed if self._loaded and not moved else model.names()
        self.desired.put({name: model.ports(name, self.family) for name in {*names, *changed}})
        self._loaded = True
        found = repair.plan(self.desired, state, self._programmed)
        now = time.monotonic()
        for key, backend in (*found.draining, *found.weightless):
            self.draining.begin(key, backend, now)
        return self._write(found.delta, full=True)

    def drifted(self) -> bool:
        """Whether the kernel holds something else than it should.

        Raises:
            OSError: the kernel could not be asked
        """
        if self._interface != self._sockets.links.index(INTERFACE):
            return True
        state = self._read()
        if None in state.sets.values():
            return True
        return len(repair.plan(self.desired, state, self._programmed).delta) > 0

    def _read(self) -> PresentState:
        return readback.read(self._sockets, self.family, self._interface)

    # ------------------------------------------------------------------ writing

    def _write(self, delta: Delta, *, full: bool) -> Outcome:
        """Write a delta. What lets traffic through comes before what attracts it, and goes after it."""
        sockets = self._sockets
        others: list[tuple[int, list[Refusal]]] = []
        if delta.elements_added:
            others.append(sockets.sets.add(self._with_specifications(delta.elements_added)))
        if delta.addresses_added:
            others.append(sockets.links.add(self._interface, delta.addresses_added))
        _, size, refusals = sockets.ipvs.perform(self._requests(delta))
        if delta.addresses_removed:
            others.append(sockets.links.remove(self._interface, delta.addresses_removed))
        if delta.elements_removed:
            others.append(sockets.sets.delete(self._with_specifications(delta.elements_removed)))
        for written, refused in others:
            size += written
            refusals += tuple(refused)
        self._programmed.update([key for key, _ in delta.servers_added])
        self._programmed.difference_update(delta.servers_removed)
        return Outcome(self.family, full, len(delta), size, tuple(map(self._explain, refusals)))

    def _requests(self, delta: Delta) -> list[Request]:
        ipvs, draining = self._sockets.ipvs, self.draining
        requests = [ipvs.add_server(key, settings) for key, settings in delta.servers_added]
        requests += [ipvs.change_server(key, settings) for key, settings in delta.servers_changed]
        for key, backend in delta.backends_added:
            wanted_again = draining.end(key, backend)
            requests.append(ipvs.set_weight(key, backend, 1) if wanted_again else ipvs.add_backend(key, backend))
        now = time.monotonic()
        for key, backend in delta.backends_removed:
            if self.desired.options.drains and Draining.applies_to(key):
                draining.begin(key, backend, now)
                requests.append(ipvs.set_weight(key, backend, 0))
            else:
                requests.append(ipvs.delete_backend(key, backend))
        for key in delta.servers_removed:
            draining.end_all(key)
            requests.append(ipvs.delete_server(key))
        return requests

    def _with_specifications(
        self, elements: Mapping[SetName, Collection[Element]]
    ) -> list[tuple[SetSpecification, Collection[Element]]]:
        return [(self._specifications[name], found) for name, found in elements.items()]

    def _explain(self, refusal: Refusal) -> Refused:
        about = refusal.request.about
        owner: ServiceName | None = None
        if refusal.answer.error in _NOT_AS_THOUGHT:
            pass
        elif isinstance(about, ServerKey):
            owner = self.desired.owner(about)
        elif isinstance(about, RealServerName):
            owner = self.desired.owner(about.key)
        elif isinstance(about, HostAddress):
            owner = self.desired.user(address=bytes(about))
        elif isinstance(about, SetElements):
            owner = self.desired.user(element=about.elements[0])
        return Refused(owner, str(refusal))

    # ------------------------------------------------------------------ graceful termination

    def end_draining(self, now: float) -> int:
        """Delete the real servers that have drained; returns how many.

        Args:
            now: the monotonic clock's time in seconds

        Raises:
            OSError: the kernel could not be asked, or requests not sent
        """
        ipvs = self._sockets.ipvs
        finished = [
            (key, backend)
            for key in self.draining.servers()
            for backend in self.draining.finished(key, ipvs.real_servers(key), now)
        ]
        ipvs.perform([ipvs.delete_backend(key, backend) for key, backend in finished])
        for key, backend in finished:
            self.draining.end(key, backend)
        return len(finished)
