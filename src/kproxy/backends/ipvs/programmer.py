"""One family's virtual servers, addresses and sets in the kernel, and the requests that keep them as desired."""

import errno
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeAlias

from kproxy.backends.interface import Model, Outcome, Refused
from kproxy.backends.ipvs import readback, repair
from kproxy.backends.ipvs.compile import NodeAddresses
from kproxy.backends.ipvs.delta import Delta
from kproxy.backends.ipvs.desired import DesiredState
from kproxy.backends.ipvs.draining import Draining, clock
from kproxy.backends.ipvs.options import IpvsOptions
from kproxy.backends.ipvs.readback import INTERFACE, PresentState, Sockets
from kproxy.backends.ipvs.repair import Repair
from kproxy.backends.ipvs.schedulers import missing as missing_scheduler
from kproxy.backends.ipvs.sets import SetName, specifications
from kproxy.kernel.ipset.elements import Element, SetSpecification
from kproxy.kernel.ipset.socket import SetElements
from kproxy.kernel.ipvs.protocol import Backend, RealServerName, ServerKey
from kproxy.kernel.links import HostAddress
from kproxy.kernel.requests import Performed, Refusal, Request
from kproxy.services.addresses import Address, Family
from kproxy.services.model import ServiceName

ChangeSets: TypeAlias = Callable[[Iterable[tuple[SetSpecification, Collection[Element]]]], tuple[int, list[Refusal]]]
_NOTHING = Performed(0, 0, ())
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
        self._refused: set[object] = set()
        """What requests that the kernel refused since the last full sync were about."""
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

    def sync(self, changed: Collection[ServiceName], model: Model) -> Outcome:
        """Write the Services that changed.

        Raises:
            OSError: requests could not be sent
        """
        if self._node_changed and self._apply_node(self.desired.node.own):
            changed = self.desired.node_dependent.union(changed)
        delta = self.desired.put({name: model.ports(name, self.family) for name in changed})
        return self._write(delta, full=False)

    def _apply_node(self, own: frozenset[Address]) -> bool:
        """Learn the node's addresses; returns whether that changes any Service."""
        node = NodeAddresses(self._node_addresses, own, self._node_ips)
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
        state = readback.read(self._sockets, self.family)
        for name, wanted in self._specifications.items():
            self._sockets.sets.ensure(wanted, state.sets[name])
        moved = self._apply_node(state.own_addresses)
        names: Iterable[ServiceName] = changed if self._loaded and not moved else model.names()
        self.desired.put({name: model.ports(name, self.family) for name in {*names, *changed}})
        self._loaded = True
        found = repair.plan(self.desired, state, self._programmed)
        self._refused.clear()
        self._resume_draining(found)
        return self._write(found.delta, full=True)

    def _resume_draining(self, found: Repair) -> None:
        """Learn deadlines of a process before this one; who has none is given one."""
        now = clock()
        unknown: dict[ServerKey, list[Backend]] = {}
        for key, backend in found.draining:
            if (key, backend) not in self.draining:
                unknown.setdefault(key, []).append(backend)
        for key, backends in unknown.items():
            deadlines = {server.backend: server.upper_threshold for server in self._sockets.ipvs.real_servers(key)}
            for backend in backends:
                if not self.draining.resume(key, backend, deadlines.get(backend, 0), now):
                    found.delta.backends_removed.append((key, backend))

    def differs_from(self, state: PresentState) -> bool:
        """Whether the kernel holds something else than it should."""
        if state.interface != self._interface or None in state.sets.values():
            return True
        delta = repair.plan(self.desired, state, self._programmed).delta
        delta.leave_out(self._refused)
        return bool(delta)

    # ------------------------------------------------------------------ writing

    def _write(self, delta: Delta, *, full: bool) -> Outcome:
        """Write a delta. What lets traffic through comes before what attracts it, and goes after it."""
        sockets = self._sockets
        others: list[tuple[int, int, list[Refusal]]] = []
        """Objects, bytes and refusals of each step but the main one."""
        if delta.elements_added:
            others.append(self._change_sets(sockets.sets.add, delta.elements_added))
        if delta.addresses_added:
            others.append((len(delta.addresses_added), *sockets.links.add(self._interface, delta.addresses_added)))
        requests = self._requests(delta)
        objects, size, refusals = sockets.ipvs.perform(requests) if requests else _NOTHING
        if delta.addresses_removed:
            removed = delta.addresses_removed
            others.append((len(removed), *sockets.links.remove(self._interface, removed)))
        if delta.elements_removed:
            others.append(self._change_sets(sockets.sets.delete, delta.elements_removed))
        for more, written, refused in others:
            objects += more
            size += written
            refusals += tuple(refused)
        return Outcome(self.family, full, objects, size, self._explain(refusals) if refusals else ())

    def _requests(self, delta: Delta) -> list[Request]:
        ipvs, draining = self._sockets.ipvs, self.draining
        requests: list[Request] = []
        if delta.servers_added:
            requests += [ipvs.add_server(key, settings) for key, settings in delta.servers_added]
            self._programmed.update([key for key, _ in delta.servers_added])
        if delta.servers_changed:
            requests += [ipvs.change_server(key, settings) for key, settings in delta.servers_changed]
        for key, backend, weight in delta.backends_added:
            write = ipvs.set_weight if draining.end(key, backend) else ipvs.add_backend
            requests.append(write(key, backend, weight))
        for key, backend, weight in delta.backends_changed:
            draining.end(key, backend)
            requests.append(ipvs.set_weight(key, backend, weight))
        for key, backend in delta.backends_removed:
            if draining.applies_to(key, self.desired.servers[key].settings):
                requests.append(ipvs.set_weight(key, backend, 0, draining.begin(key, backend, clock())))
            else:
                requests.append(ipvs.delete_backend(key, backend))
        for key in delta.servers_removed:
            draining.end_all(key)
            self._programmed.discard(key)
            requests.append(ipvs.delete_server(key))
        return requests

    def _change_sets(
        self, change: ChangeSets, elements: Mapping[SetName, Collection[Element]]
    ) -> tuple[int, int, list[Refusal]]:
        size, refused = change([(self._specifications[name], found) for name, found in elements.items()])
        return sum(map(len, elements.values())), size, refused

    def _explain(self, refusals: Collection[Refusal]) -> tuple[Refused, ...]:
        schedulers: dict[ServerKey, str] = {}
        """Of virtual servers that the kernel could not make for want of them."""
        for request, answer in refusals:
            if isinstance(request.about, ServerKey) and answer.error == errno.ENOENT:
                schedulers[request.about] = self.desired.servers[request.about].settings.scheduler
        self._refused.update(about for (*_, about), _ in refusals if not isinstance(about, SetElements))
        words = {name: missing_scheduler(self._sockets.ipvs, name) for name in set(schedulers.values())}
        found = []
        for refusal in refusals:
            about = refusal.request.about
            if isinstance(about, ServerKey) and about in schedulers:
                found.append(Refused(self.desired.owner(about), f"{about}: {words[schedulers[about]]}"))
            elif not self._follows_from_another(refusal):
                found.append(Refused(self._at_fault(refusal), str(refusal)))
        return tuple(found)

    def _follows_from_another(self, refusal: Refusal) -> bool:
        """Whether a real server is refused because its virtual server was."""
        about = refusal.request.about
        no_server = refusal.answer.error == errno.ESRCH
        return no_server and isinstance(about, RealServerName) and about.key in self._refused

    def _at_fault(self, refusal: Refusal) -> ServiceName | None:
        about = refusal.request.about
        if refusal.answer.error in _NOT_AS_THOUGHT:
            return None
        if isinstance(about, ServerKey):
            return self.desired.owner(about)
        if isinstance(about, RealServerName):
            return self.desired.owner(about.key)
        if isinstance(about, HostAddress):
            return self.desired.user(address=bytes(about))
        if isinstance(about, SetElements):
            return self.desired.user(element=about.elements[0])
        return None

    # ------------------------------------------------------------------ graceful termination

    def end_draining(self, now: int) -> int:
        """Delete the real servers that have drained; returns how many.

        Args:
            now: what `clock` says

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
