"""The difference between what the kernel holds and what it should, computed without touching either."""

from collections.abc import Collection
from typing import NamedTuple

from kproxy.backends.ipvs.compile import VirtualServer
from kproxy.backends.ipvs.delta import Delta
from kproxy.backends.ipvs.desired import DesiredState
from kproxy.backends.ipvs.draining import Draining
from kproxy.backends.ipvs.options import IpvsOptions
from kproxy.backends.ipvs.readback import PresentServer, PresentState
from kproxy.backends.ipvs.sets import SetName, specification
from kproxy.kernel.ipset.elements import SetType, bitmap_port, ip_port
from kproxy.kernel.ipvs.protocol import Backend, ServerKey
from kproxy.services.addresses import Family

_NODE_PORT_SETS = {6: SetName.NODE_PORT_TCP, 17: SetName.NODE_PORT_UDP, 132: SetName.NODE_PORT_SCTP}


class Repair(NamedTuple):
    delta: Delta
    draining: list[tuple[ServerKey, Backend]]
    """Real servers that drain already, by their weight."""


def is_ours(key: ServerKey, state: PresentState, options: IpvsOptions, programmed: Collection[ServerKey]) -> bool:
    """Whether a virtual server that nobody wants may be deleted.

    Those that this process has made are ours. What an earlier one has made is told by what it has made along with
    it: the address on the dummy interface, or the port in the set of node ports; not so in `excludeCIDRs`.
    """
    if key in programmed:
        return True
    if any(key.address in network for network in options.excluded):
        return False
    if key.address in state.addresses:
        return True
    name = _NODE_PORT_SETS.get(key.protocol)
    if name is None:
        return False
    by_port = specification(name, Family.of(key.address)).type is SetType.PORT
    element = bitmap_port(key.port) if by_port else ip_port(key.address, key.protocol, key.port)
    return element in state.elements(name)


def plan(desired: DesiredState, state: PresentState, programmed: Collection[ServerKey]) -> Repair:
    """Compute what it takes to get from the state to what is desired."""
    delta = Delta()
    repair = Repair(delta, [])
    for key, server in desired.servers.items():
        present = state.servers.get(key)
        if present is None:
            delta.add_server(key, server)
            continue
        if present.settings != server.settings:
            delta.servers_changed.append((key, server.settings))
        _plan_backends(key, server, present, repair)
    for key in state.servers.keys() - desired.servers.keys():
        if is_ours(key, state, desired.options, programmed):
            delta.servers_removed.append(key)
    wanted_addresses = desired.addresses()
    delta.addresses_added = sorted(wanted_addresses - state.addresses)
    delta.addresses_removed = sorted(state.addresses - wanted_addresses)
    for name, wanted in desired.elements().items():
        present_elements = state.elements(name)
        if added := wanted - present_elements:
            delta.elements_added[name] = sorted(added)
        if removed := present_elements - wanted:
            delta.elements_removed[name] = sorted(removed)
    return repair


def _plan_backends(key: ServerKey, wanted: VirtualServer, present: PresentServer, repair: Repair) -> None:
    if wanted.backends == present.weights:
        return
    delta = repair.delta
    for backend, weight in wanted.backends.items():
        found = present.weights.get(backend)
        if found is None:
            delta.backends_added.append((key, backend, weight))
        elif found != weight:
            delta.backends_changed.append((key, backend, weight))
    for backend, weight in present.weights.items():
        if backend in wanted.backends:
            continue
        if weight == 0 and Draining.applies_to(key, wanted.settings):
            repair.draining.append((key, backend))
        else:
            delta.backends_removed.append((key, backend))
