"""Any sequence of changes leaves in the kernel what a fresh start does."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from kproxy.backends.ipvs.options import IpvsOptions
from kproxy.backends.ipvs.prerequisites import open_sockets
from kproxy.backends.ipvs.programmer import Programmer
from kproxy.backends.ipvs.readback import Sockets
from kproxy.services.objects import EndpointSlice, Service
from kproxy.services.tracker import ServiceTracker
from tests.ipvs.kernel_state import FAMILIES, contents, ip
from tests.nftables.strategies import events

NODE = [ip("192.168.0.1"), ip("fd00:77::1")]


@pytest.fixture
def sockets(ipvs_namespace: None) -> Iterator[Sockets]:
    made = open_sockets(IpvsOptions(), "6.1.0")
    yield made
    made.close()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(happened=events())
def test_deltas_leave_what_a_fresh_sync_leaves(
    sockets: Sockets, happened: list[Service | EndpointSlice | tuple[type, str, str]]
) -> None:
    tracker = ServiceTracker("here")
    changing = [Programmer(sockets, family, IpvsOptions()) for family in FAMILIES]
    for programmer in changing:
        programmer.set_node_port_addresses(NODE)
        assert not programmer.sync_all((), tracker).refused
    for number, event in enumerate(happened):
        if isinstance(event, tuple):
            tracker.delete(*event)
        else:
            tracker.upsert(event)
        if number % 3 == 0 or number == len(happened) - 1:
            changed = tracker.take().services
            for programmer in changing:
                assert not programmer.sync(changed, tracker).refused
    after_deltas = contents()
    for family in FAMILIES:
        fresh = Programmer(sockets, family, IpvsOptions())
        fresh.set_node_port_addresses(NODE)
        outcome = fresh.sync_all((), tracker)
        assert (outcome.objects, outcome.refused) == (0, ())
    assert contents() == after_deltas
    # From nothing, the same.
    for family in FAMILIES:
        Programmer(sockets, family, IpvsOptions()).sync_all((), ServiceTracker("here"))
    assert not contents().servers
    for family in FAMILIES:
        fresh = Programmer(sockets, family, IpvsOptions())
        fresh.set_node_port_addresses(NODE)
        fresh.sync_all((), tracker)
    assert contents() == after_deltas
    for family in FAMILIES:
        Programmer(sockets, family, IpvsOptions()).sync_all((), ServiceTracker("here"))
    assert all(not elements for elements in contents().elements.values())
