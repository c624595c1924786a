"""Each scheduler by what it does to traffic."""

import socket
from collections import Counter
from collections.abc import Iterator

import pytest

from kproxy.backends.ipvs.schedulers import flags
from kproxy.kernel.ipvs.protocol import PERSISTENT, ServerKey, ServerSettings
from kproxy.kernel.ipvs.socket import IpvsSocket
from kproxy.kernel.sysctls import set_sysctl
from tests.ipvs.kernel.traffic import add_addresses, answers, ask, connect, real_servers
from tests.ipvs.kernel_state import at, tcp

VIPS = [f"10.96.0.{n}" for n in range(1, 7)]
VIP = VIPS[0]
CLIENTS = [f"10.9.0.{n}" for n in range(1, 13)]
A, B, C = "10.244.0.1", "10.244.0.2", "10.244.0.3"
VIP6, A6, B6 = "fd00:10:96::1", "fd00:10:244::1", "fd00:10:244::2"


@pytest.fixture
def ipvs(ipvs_namespace: None) -> Iterator[IpvsSocket]:
    made = IpvsSocket()
    set_sysctl("net/ipv4/vs/conntrack", "1")
    add_addresses(VIP)
    with real_servers([A, B, C]):
        yield made
    made.close()


def serve(ipvs: IpvsSocket, scheduler: str, weights: dict[str, int], vip: str = VIP) -> ServerKey:
    """A virtual server as the backend makes it, with weights of the test's."""
    key = tcp(vip, 80)
    settings = ServerSettings(scheduler, flags(scheduler))
    requests = [ipvs.add_server(key, settings)]
    requests += [ipvs.add_backend(key, at(address, 8080), weight) for address, weight in weights.items()]
    assert ipvs.perform(requests).refused == ()
    return key


def hold(count: int) -> tuple[list[socket.socket], Counter[str]]:
    """Open connections, and keep them."""
    made = [connect(VIP) for _ in range(count)]
    return [sock for sock, _ in made], Counter(name for _, name in made)


def release(held: list[socket.socket]) -> None:
    for sock in held:
        sock.close()


def test_rr_takes_turns(ipvs: IpvsSocket) -> None:
    serve(ipvs, "rr", {A: 1, B: 1, C: 1})
    assert answers(VIP, 9) == {A: 3, B: 3, C: 3}


def test_wrr_takes_turns_by_weight(ipvs: IpvsSocket) -> None:
    serve(ipvs, "wrr", {A: 3, B: 1})
    assert answers(VIP, 12) == {A: 9, B: 3}


def test_lc_prefers_who_has_the_fewest_connections(ipvs: IpvsSocket) -> None:
    key = serve(ipvs, "lc", {A: 1})
    busy, _ = hold(3)
    ipvs.perform([ipvs.add_backend(key, at(B, 8080))])
    held, names = hold(3)
    assert names == {B: 3}
    more, names = hold(4)
    assert names == {A: 2, B: 2}
    release(busy + held + more)


def test_wlc_shares_connections_by_weight(ipvs: IpvsSocket) -> None:
    serve(ipvs, "wlc", {A: 2, B: 1})
    held, names = hold(9)
    assert names == {A: 6, B: 3}
    release(held)


def test_sed_and_nq_differ_in_whether_the_idle_come_first(ipvs: IpvsSocket) -> None:
    key = serve(ipvs, "sed", {A: 10, B: 1})
    held, names = hold(5)
    assert names == {A: 5}
    release(held)
    ipvs.perform([ipvs.delete_server(key)])
    serve(ipvs, "nq", {A: 10, B: 1})
    held, names = hold(5)
    assert names == {A: 4, B: 1}
    release(held)


@pytest.mark.parametrize("scheduler", ["lblc", "lblcr"])
def test_locality_keeps_a_destination_with_its_server(ipvs: IpvsSocket, scheduler: str) -> None:
    serve(ipvs, scheduler, {A: 10, B: 10, C: 10})
    assert sorted(answers(VIP, 6).values()) == [6]


@pytest.mark.parametrize("scheduler", ["lblc", "lblcr"])
def test_locality_gives_way_when_the_server_drains(ipvs: IpvsSocket, scheduler: str) -> None:
    key = serve(ipvs, scheduler, {A: 10, B: 10})
    [first] = answers(VIP, 3)
    ipvs.perform([ipvs.set_weight(key, at(first, 8080), 0)])
    assert answers(VIP, 3) == {({A, B} - {first}).pop(): 3}


def test_sh_chooses_by_the_client(ipvs: IpvsSocket) -> None:
    add_addresses(*CLIENTS)
    serve(ipvs, "sh", {A: 1, B: 1, C: 1})
    once = [next(iter(answers(VIP, 1, sources=[client]))) for client in CLIENTS]
    assert set(once) == {A, B, C}
    assert [next(iter(answers(VIP, 1, sources=[client]))) for client in CLIENTS] == once


def test_sh_goes_round_a_server_that_drains(ipvs: IpvsSocket) -> None:
    add_addresses(*CLIENTS)
    key = serve(ipvs, "sh", {A: 1, B: 1})
    ipvs.perform([ipvs.set_weight(key, at(A, 8080), 0)])
    assert answers(VIP, len(CLIENTS), sources=CLIENTS) == {B: len(CLIENTS)}


def test_dh_chooses_by_the_destination(ipvs: IpvsSocket) -> None:
    add_addresses(*VIPS[1:])
    found = []
    for vip in VIPS:
        serve(ipvs, "dh", {A: 1, B: 1, C: 1}, vip)
        [(name, count)] = answers(vip, 2).items()
        assert count == 2
        found.append(name)
    assert len(set(found)) > 1


def test_mh_chooses_by_the_clients_address_and_port(ipvs: IpvsSocket) -> None:
    serve(ipvs, "mh", {A: 1, B: 1, C: 1})
    assert set(answers(VIP, 24)) == {A, B, C}


def test_persistence_keeps_a_client_with_its_server(ipvs: IpvsSocket) -> None:
    add_addresses(*CLIENTS)
    key = serve(ipvs, "rr", {A: 1, B: 1, C: 1})
    ipvs.perform([ipvs.change_server(key, ServerSettings("rr", PERSISTENT, 60))])
    for client in CLIENTS[:3]:
        assert sorted(answers(VIP, 3, sources=[client]).values()) == [3]
    assert set(answers(VIP, 6, sources=CLIENTS[3:9])) == {A, B, C}


def test_ipv6(ipvs: IpvsSocket) -> None:
    add_addresses(VIP6)
    serve(ipvs, "rr", {A6: 1, B6: 1}, VIP6)
    with real_servers([A6, B6]):
        assert answers(VIP6, 4) == {A6: 2, B6: 2}


def test_udp(ipvs: IpvsSocket) -> None:
    key = tcp(VIP, 80)._replace(protocol=socket.IPPROTO_UDP)
    servers = ["10.244.0.7", "10.244.0.8"]
    requests = [ipvs.add_server(key, ServerSettings("rr"))]
    assert not ipvs.perform([*requests, *(ipvs.add_backend(key, at(each, 8080)) for each in servers)]).refused
    with real_servers(servers, socket.IPPROTO_UDP):
        assert [ask(VIP) for _ in range(4)].count(servers[0]) == 2


def test_sctp(ipvs: IpvsSocket) -> None:
    key = tcp(VIP, 80)._replace(protocol=socket.IPPROTO_SCTP)
    requests = [ipvs.add_server(key, ServerSettings("rr")), ipvs.add_backend(key, at("10.244.0.9", 8080))]
    assert not ipvs.perform(requests).refused
    with real_servers(["10.244.0.9"], socket.IPPROTO_SCTP):
        connection, name = connect(VIP, protocol=socket.IPPROTO_SCTP)
        assert name == "10.244.0.9"
        connection.close()
