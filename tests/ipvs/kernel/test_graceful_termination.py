"""Endpoints that go: their connections stay, new ones go elsewhere, and in the end they are gone."""

import socket

import pytest

from kproxy.backends.ipvs.backend import IpvsBackend
from kproxy.backends.ipvs.draining import LONGEST_SECONDS, Draining, clock
from kproxy.kernel.ipvs.socket import IpvsSocket
from kproxy.services.addresses import Family
from tests.ipvs.kernel.running import put, started
from tests.ipvs.kernel.traffic import add_addresses, answers, connect, real_servers
from tests.ipvs.kernel_state import at, contents, tcp, tracker_of
from tests.services.builders import service, slice_of

VIP, A, B = "10.96.0.10", "10.244.0.1", "10.244.0.2"
KEY = tcp(VIP, 80)

pytestmark = pytest.mark.usefixtures("ipvs_namespace")


def echo(connection: socket.socket) -> bytes:
    connection.send(b"still there?")
    return connection.recv(64)


def weights() -> dict[bytes, int]:
    return contents(draining=True).servers[KEY][1]


def draining(made: IpvsBackend) -> Draining:
    return made._programmers[Family.IPV4].draining


def end_draining(made: IpvsBackend, now: int) -> int:
    return made._programmers[Family.IPV4].end_draining(now)


def held_to(name: str) -> socket.socket:
    """A connection to the real server of that name; round robin gets there."""
    while True:
        connection, answer = connect(VIP)
        if answer == name:
            return connection
        connection.close()


async def test_a_connection_outlives_its_endpoint_and_a_restart_and_gets_no_company() -> None:
    tracker = tracker_of([service("web"), slice_of("web", A, B)])
    with real_servers([A, B]):
        made = await started(tracker)
        held = held_to(A)
        [(outcome, _), begun] = await put(made, tracker, slice_of("web", B)), clock()
        assert outcome.objects == 1
        for _ in range(2):
            assert weights() == {at(A, 8080): 0, at(B, 8080): 1}
            assert answers(VIP, 6) == {B: 6}
            assert echo(held) == b"still there?"
            assert end_draining(made, clock()) == 0
            made.close()
            made = await started(tracker)

        # After a quarter of an hour it has to go, whichever process has begun it.
        assert end_draining(made, begun + LONGEST_SECONDS - 2) == 0
        assert end_draining(made, begun + LONGEST_SECONDS) == 1
        assert weights() == {at(B, 8080): 1}
        held.close()
        made.close()


async def test_an_endpoint_that_comes_back_while_it_drains_serves_again() -> None:
    tracker = tracker_of([service("web"), slice_of("web", A, B)])
    with real_servers([A, B]):
        made = await started(tracker)
        held = held_to(A)
        await put(made, tracker, slice_of("web", B))
        (outcome, _) = await put(made, tracker, slice_of("web", A, B))
        assert (outcome.objects, outcome.refused) == (1, ())
        assert weights() == {at(A, 8080): 1, at(B, 8080): 1}
        assert answers(VIP, 4) == {A: 2, B: 2}
        assert echo(held) == b"still there?"
        assert len(draining(made)) == 0
        held.close()
        made.close()


async def test_a_real_server_that_another_proxy_lets_drain_is_given_a_deadline() -> None:
    tracker = tracker_of([service("web"), slice_of("web", A, B)])
    with real_servers([A, B]):
        (await started(tracker)).close()
        held = held_to(A)
        other = IpvsSocket()
        other.perform([other.set_weight(KEY, at(A, 8080), 0)])
        tracker.upsert(slice_of("web", B))
        made = await started(tracker)
        assert weights() == {at(A, 8080): 0, at(B, 8080): 1}
        [deadline] = [server.upper_threshold for server in other.real_servers(KEY) if not server.weight]
        assert abs(deadline - LONGEST_SECONDS - clock()) < 60
        assert echo(held) == b"still there?"
        held.close()
        other.close()
        made.close()


async def test_an_endpoint_without_connections_is_gone_with_the_next_look() -> None:
    tracker = tracker_of([service("web"), slice_of("web", A, B)])
    add_addresses(A, B)
    made = await started(tracker)
    await put(made, tracker, slice_of("web", B))
    assert end_draining(made, clock()) == 1
    assert weights() == {at(B, 8080): 1}
    made.close()


@pytest.mark.parametrize(("protocol", "number"), [("UDP", 17), ("SCTP", 132)])
async def test_other_protocols_servers_go_at_once(protocol: str, number: int) -> None:
    spec = {"ports": [{"name": "a", "port": 80, "protocol": protocol}]}
    ports = (("a", 8080),)
    tracker = tracker_of([service("web", **spec), slice_of("web", A, B, ports=ports, protocol=protocol)])
    made = await started(tracker)
    await put(made, tracker, slice_of("web", B, ports=ports, protocol=protocol))
    assert contents(draining=True).servers[KEY._replace(protocol=number)][1] == {at(B, 8080): 1}
    made.close()
