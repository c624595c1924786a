"""Session affinity of IPVS: which real server a known client gets."""

import pytest

from kproxy.inspect.rulesets.ipvs import VirtualServer, base_chains
from kproxy.inspect.rulesets.ipvs_persistence import Client, Persistence, parse
from kproxy.inspect.rulesets.netfilter import Fate, traverse
from kproxy.kernel.ipvs.protocol import PERSISTENT, RealServer, ServerKey, ServerSettings
from kproxy.services.addresses import Address, parse_address
from tests.inspect import lab_node

# Of Linux 6.1, but for the last three lines: templates have no client port, and void ones FFFF for the others.
LISTING = b"""\
Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
TCP 0AF4010A 0000 0A601E01 0050 0AF4020B 1F90 ASSURED       10799
TCP 0AF4010A 2AF8 0A601E01 0050 0AF4020B 1F90 CLOSE             9
UDP 0A601E01 0000 0A601E01 0035 0AF4010B 14E9 ASSURED       10799
TCP C0A84D64 0000 0A601E01 FFFF 0AF4020A FFFF ASSURED       10799
TCP fd00:0010:0244:0001:0000:0000:0000:000a 0000 fd00:0010:0096:0000:0000:0000:0000:3001 0050 \
fd00:0010:0244:0002:0000:0000:0000:000b 1F90 ASSURED       10799
TCP nonsense 0000 0A601E01 0050 0AF4020B 1F90 NONE             59
XTP 0AF4010A 0000 0A601E01 0050 0AF4020B 1F90 NONE             59
TCP
"""


def packed(text: str) -> Address:
    address = parse_address(text)
    assert address is not None
    return address


CLUSTER_IP = packed("10.96.30.1")
POD_A, POD_B, POD_D = packed("10.244.1.10"), packed("10.244.1.11"), packed("10.244.2.11")
SERVER = ServerKey(6, CLUSTER_IP, 80)
A, D = POD_A + b"\x1f\x90", POD_D + b"\x1f\x90"


def test_templates_are_read_and_connections_are_not() -> None:
    found = parse(LISTING.splitlines())
    six = Client(ServerKey(6, packed("fd00:10:96::3001"), 80), packed("fd00:10:244:1::a"))
    assert {known: to for known, to in found.items() if known.server.port != 0xFFFF} == {
        Client(SERVER, POD_A): D,
        Client(ServerKey(17, CLUSTER_IP, 53), CLUSTER_IP): POD_B + (5353).to_bytes(2, "big"),
        six: packed("fd00:10:244:2::b") + b"\x1f\x90",
    }


def endpoints(client: Address, persistence: Persistence, *, weight: int = 1, flags: int = PERSISTENT) -> set[Address]:
    """Who may answer a client of a virtual server with two real servers, the second of some weight."""
    reals = [RealServer(A, 1, 0), RealServer(D, weight, 0)]
    servers = {SERVER: VirtualServer(ServerSettings("rr", flags, 10800), reals)}
    way = lab_node.routes([CLUSTER_IP])
    name = next(name for address, name in lab_node.POD_AT.items() if address == client)
    packet = lab_node.packet(name, CLUSTER_IP, 80, "TCP", way)
    found = traverse(packet, list(base_chains(servers, persistence)), way)
    assert {each.fate for each in found} == {Fate.REDIRECTED}
    assert sum(each.probability for each in found) == pytest.approx(1.0)
    return {each.branch.packet.destination for each in found}


KNOWN = Persistence({Client(SERVER, POD_A): D})


def test_a_known_client_stays() -> None:
    assert endpoints(POD_A, KNOWN) == {POD_D}
    assert endpoints(POD_B, KNOWN) == {POD_A, POD_D}
    assert endpoints(POD_A, KNOWN, flags=0) == {POD_A, POD_D}


def test_it_moves_when_its_real_server_drains_or_is_gone() -> None:
    assert endpoints(POD_A, KNOWN, weight=0) == {POD_A}
    assert endpoints(POD_A, KNOWN._replace(with_weight_zero=True), weight=0) == {POD_D}
    gone = Persistence({Client(SERVER, POD_A): POD_B + b"\x1f\x90"})
    assert endpoints(POD_A, gone) == {POD_A, POD_D}
