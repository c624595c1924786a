"""Deltas: what changes from Service to Service, and what several of them share."""

from hypothesis import given
from hypothesis import strategies as st

from kproxy.backends.ipvs.compile import NodeAddresses
from kproxy.backends.ipvs.delta import Delta
from kproxy.backends.ipvs.desired import DesiredState
from kproxy.backends.ipvs.options import IpvsOptions
from kproxy.kernel.ipvs.protocol import Backend, ServerKey, ServerSettings
from kproxy.services.addresses import Address, Family
from kproxy.services.model import ServiceName
from kproxy.services.objects import EndpointSlice, Service
from kproxy.services.tracker import ServiceTracker
from tests.ipvs.kernel_state import at, ip, tcp
from tests.nftables.strategies import events
from tests.services.builders import service, slice_of

WEB = ServiceName("default", "web")
NODE = NodeAddresses(frozenset({ip("192.168.0.1")}), frozenset({ip("192.168.0.1")}))


class Simulated:
    """Does what a kernel does with a delta, and complains where a kernel would."""

    def __init__(self) -> None:
        self.servers: dict[ServerKey, ServerSettings] = {}
        self.backends: dict[tuple[ServerKey, Backend], int] = {}
        self.addresses: set[Address] = set()
        self.elements: set[tuple[object, bytes]] = set()

    def apply(self, delta: Delta) -> None:
        for key, settings in delta.servers_added:
            assert key not in self.servers
            self.servers[key] = settings
        for key, settings in delta.servers_changed:
            assert self.servers[key] != settings
            self.servers[key] = settings
        for key, backend, weight in delta.backends_added:
            assert (key, backend) not in self.backends
            assert key in self.servers
            self.backends[key, backend] = weight
        for key, backend, weight in delta.backends_changed:
            assert self.backends[key, backend] != weight
            self.backends[key, backend] = weight
        for item in delta.backends_removed:
            del self.backends[item]
        for key in delta.servers_removed:
            del self.servers[key]
            self.backends = {item: weight for item, weight in self.backends.items() if item[0] != key}
        for address in delta.addresses_added:
            assert address not in self.addresses
            self.addresses.add(address)
        self.addresses.difference_update(delta.addresses_removed)
        added = {(name, e) for name, found in delta.elements_added.items() for e in found}
        removed = {(name, e) for name, found in delta.elements_removed.items() for e in found}
        assert not added & self.elements
        assert removed <= self.elements
        self.elements = self.elements - removed | added


def desired_of(tracker: ServiceTracker) -> tuple[DesiredState, Delta]:
    desired = DesiredState(IpvsOptions())
    desired.node = NODE
    return desired, desired.put({name: tracker.ports(name, Family.IPV4) for name in tracker.names()})


@given(events(), st.integers(1, 4))
def test_any_sequence_of_deltas_ends_where_a_fresh_start_does(
    happened: list[Service | EndpointSlice | tuple[type, str, str]], together: int
) -> None:
    tracker, kernel = ServiceTracker("here"), Simulated()
    desired, _ = desired_of(tracker)
    for number, event in enumerate(happened):
        if isinstance(event, tuple):
            tracker.delete(*event)
        else:
            tracker.upsert(event)
        if number % together == 0 or number == len(happened) - 1:
            changes = {name: tracker.ports(name, Family.IPV4) for name in tracker.take().services}
            kernel.apply(desired.put(changes))
    fresh, whole = Simulated(), desired_of(tracker)[1]
    fresh.apply(whole)
    assert kernel.backends == fresh.backends
    assert kernel.servers == fresh.servers
    assert kernel.addresses == fresh.addresses == desired.addresses()
    assert kernel.elements == fresh.elements


def changed(tracker: ServiceTracker, desired: DesiredState) -> Delta:
    return desired.put({name: tracker.ports(name, Family.IPV4) for name in tracker.take().services})


def only(delta: Delta, *names: str) -> list[object]:
    """What a delta has under these names, when it has nothing else."""
    found = vars(delta)
    assert {name for name, items in found.items() if items} == set(names)
    return [item for name in names for item in found[name]]


def test_an_endpoint_more_is_one_real_server() -> None:
    tracker = ServiceTracker("here")
    tracker.upsert(service("web"))
    tracker.upsert(slice_of("web", "10.244.1.1"))
    desired, _ = desired_of(tracker)
    tracker.take()
    tracker.upsert(slice_of("web", "10.244.1.1", "10.244.1.2"))
    delta = changed(tracker, desired)
    assert only(delta, "backends_added") == [(tcp("10.96.0.10", 80), at("10.244.1.2", 8080), 1)]


def test_an_address_that_moves_to_another_service_in_one_step_stays() -> None:
    tracker = ServiceTracker("here")
    tracker.upsert(service("web"))
    tracker.upsert(slice_of("web", "10.244.1.1"))
    desired, _ = desired_of(tracker)
    tracker.take()
    tracker.delete(Service, "default", "web")
    tracker.upsert(service("renamed"))
    tracker.upsert(slice_of("renamed", "10.244.1.2"))
    delta = changed(tracker, desired)
    key = tcp("10.96.0.10", 80)
    assert only(delta, "backends_added", "backends_removed") == [
        (key, at("10.244.1.2", 8080), 1),
        (key, at("10.244.1.1", 8080)),
    ]


def test_a_node_port_on_anothers_external_address_waits_for_it() -> None:
    tracker = ServiceTracker("here")
    tracker.upsert(service("first", clusterIP="10.96.0.1", externalIPs=["192.168.0.1"], ports=[{"port": 30080}]))
    desired, _ = desired_of(tracker)
    tracker.take()
    tracker.upsert(service("web", type="NodePort", ports=[{"name": "http", "port": 80, "nodePort": 30080}]))
    tracker.upsert(slice_of("web", "10.244.1.1"))
    key = tcp("192.168.0.1", 30080)
    assert key not in dict(changed(tracker, desired).servers_added)
    assert desired.owner(key) == ServiceName("default", "first")
    tracker.delete(Service, "default", "first")
    delta = changed(tracker, desired)
    assert (key, at("10.244.1.1", 8080), 1) in delta.backends_added
    assert key not in delta.servers_removed
    assert desired.owner(key) == WEB
