"""Endpoints that go: their connections stay, new ones go elsewhere, and in the end they are gone."""

import socket
import time

import pytest

from kproxy.backends.ipvs.backend import IpvsBackend
from kproxy.backends.ipvs.draining import LONGEST_SECONDS
from kproxy.services.addresses import Family
from kproxy.services.tracker import ServiceTracker
from tests.ipvs.kernel.traffic import add_addresses, answers, connect, real_servers
from tests.ipvs.kernel_state import at, backend, contents, tcp, tracker_of
from tests.services.builders import service, slice_of

VIP, A, B = "10.96.0.10", "10.244.0.1", "10.244.0.2"
KEY = tcp(VIP, 80)

pytestmark = pytest.mark.usefixtures("ipvs_namespace")


def started(tracker: ServiceTracker) -> IpvsBackend:
    made = backend()
    tracker.take()
    assert not any(outcome.refused for outcome in made.sync_all((), tracker))
    return made


def echo(connection: socket.socket) -> bytes:
    connection.send(b"still there?")
    return connection.recv(64)


def weights() -> dict[bytes, int]:
    return contents(draining=True).servers[KEY][1]


def held_to(name: str) -> socket.socket:
    """A connection to the real server of that name; round robin gets there."""
    while True:
        connection, answer = connect(VIP)
        if answer == name:
            return connection
        connection.close()


def test_a_connection_outlives_its_endpoint_and_a_restart_and_gets_no_company() -> None:
    tracker = tracker_of([service("web"), slice_of("web", A, B)])
    with real_servers([A, B]):
        made = started(tracker)
        held = held_to(A)

        tracker.upsert(slice_of("web", B))
        made.sync(tracker.take().services, tracker)
        assert weights() == {at(A, 8080): 0, at(B, 8080): 1}
        assert answers(VIP, 6) == {B: 6}
        assert echo(held) == b"still there?"
        assert made._programmers[Family.IPV4].end_draining(time.monotonic()) == 0

        made.close()
        made = started(tracker)
        assert weights() == {at(A, 8080): 0, at(B, 8080): 1}
        assert answers(VIP, 4) == {B: 4}
        assert echo(held) == b"still there?"
        programmer = made._programmers[Family.IPV4]
        assert programmer.end_draining(time.monotonic()) == 0

        # After a quarter of an hour it has to go.
        assert programmer.end_draining(time.monotonic() + LONGEST_SECONDS) == 1
        assert weights() == {at(B, 8080): 1}
        held.close()
        made.close()


def test_an_endpoint_that_comes_back_while_it_drains_serves_again() -> None:
    tracker = tracker_of([service("web"), slice_of("web", A, B)])
    with real_servers([A, B]):
        made = started(tracker)
        held = held_to(A)
        tracker.upsert(slice_of("web", B))
        made.sync(tracker.take().services, tracker)
        tracker.upsert(slice_of("web", A, B))
        (outcome, _) = made.sync(tracker.take().services, tracker)
        assert (outcome.objects, outcome.refused) == (1, ())
        assert weights() == {at(A, 8080): 1, at(B, 8080): 1}
        assert answers(VIP, 4) == {A: 2, B: 2}
        assert echo(held) == b"still there?"
        assert len(made._programmers[Family.IPV4].draining) == 0
        held.close()
        made.close()


def test_an_endpoint_without_connections_is_gone_with_the_next_look() -> None:
    tracker = tracker_of([service("web"), slice_of("web", A, B)])
    add_addresses(A, B)
    made = started(tracker)
    tracker.upsert(slice_of("web", B))
    made.sync(tracker.take().services, tracker)
    assert made._programmers[Family.IPV4].end_draining(time.monotonic()) == 1
    assert weights() == {at(B, 8080): 1}
    made.close()


@pytest.mark.parametrize(("protocol", "number"), [("UDP", 17), ("SCTP", 132)])
def test_other_protocols_servers_go_at_once(protocol: str, number: int) -> None:
    spec = {"ports": [{"name": "a", "port": 80, "protocol": protocol}]}
    ports = (("a", 8080),)
    tracker = tracker_of([service("web", **spec), slice_of("web", A, B, ports=ports, protocol=protocol)])
    made = started(tracker)
    tracker.upsert(slice_of("web", B, ports=ports, protocol=protocol))
    made.sync(tracker.take().services, tracker)
    assert contents(draining=True).servers[KEY._replace(protocol=number)][1] == {at(B, 8080): 1}
    made.close()
