"""Encodings and listings, without a kernel."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kproxy.kernel.ipset.elements import SetType, decode, describe, encode
from kproxy.kernel.ipvs import protocol
from kproxy.kernel.ipvs.listing import parse
from kproxy.kernel.ipvs.protocol import PERSISTENT, RealServer, ServerKey, ServerSettings
from kproxy.kernel.netlink import attributes
from kproxy.services.addresses import Family
from tests.ipvs.kernel_state import at, ip, tcp

LISTING = b"""\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  [fd00:0000:0000:0000:0000:0000:0000:0001]:0050 sh (sh-fallback)
  -> [fd00:0000:0000:0000:0000:0000:0000:0002]:1F90      Masq    0      2          3
UDP  0A000001:0035 rr  persistent 25000 FFFFFFFF
  -> 0A010001:14E9      Masq    1      0          0
  -> 0A010002:14E9      Masq    1      0          7
SCTP 0A000001:0035 rr
FWM  00000005 rr
  -> 0A010003:14E9      Masq    1      0          0
nonsense
"""


def test_the_listing_of_real_servers() -> None:
    assert parse(LISTING) == {
        tcp("fd00::1", 80): [RealServer(at("fd00::2", 8080), 0, 5)],
        ServerKey(17, ip("10.0.0.1"), 53): [
            RealServer(at("10.1.0.1", 5353), 1, 0),
            RealServer(at("10.1.0.2", 5353), 1, 7),
        ],
        ServerKey(132, ip("10.0.0.1"), 53): [],
    }


@given(st.binary())
def test_no_listing_is_too_strange(listing: bytes) -> None:
    parse(LISTING + listing)
    parse(LISTING.replace(b"A", listing))


@pytest.mark.parametrize("address", ["10.0.0.1", "fd00::1"])
def test_a_virtual_server_reads_as_written(address: str) -> None:
    key, settings = tcp(address, 80), ServerSettings("wlc", PERSISTENT, 60)
    encoded = attributes(protocol.service(key, settings))[protocol.CMD_SERVICE]
    assert protocol.read_service(encoded) == (key, settings)


def test_the_identity_is_the_beginning_of_the_description() -> None:
    key = tcp("10.0.0.1", 80)
    assert protocol.service(key, ServerSettings("rr"))[4:].startswith(protocol.identity(key)[4:])


def test_a_malformed_virtual_server_is_none() -> None:
    assert protocol.read_service(memoryview(b"\x06\x00\x01\x00\x02\x00\x00\x00")) is None
    assert protocol.read_destination(memoryview(b""), 4) is None


def test_names() -> None:
    assert str(tcp("fd00::1", 80)) == "virtual server TCP [fd00::1]:80"
    assert str(protocol.RealServerName(tcp("10.0.0.1", 80), at("10.1.0.1", 8080))) == (
        "real server 10.1.0.1:8080 of virtual server TCP 10.0.0.1:80"
    )


_LENGTHS = {SetType.IP: 0, SetType.IP_PORT: 3, SetType.IP_PORT_IP: 3, SetType.IP_PORT_NET: 3}


@given(st.sampled_from(SetType), st.sampled_from(Family), st.data())
def test_an_element_reads_as_written(type_: SetType, family: Family, data: st.DataObject) -> None:
    n = family.length
    size = {SetType.PORT: 2, SetType.IP: n, SetType.IP_PORT: n + 3, SetType.IP_PORT_IP: 2 * n + 3}.get(type_, 2 * n + 4)
    element = data.draw(st.binary(min_size=size, max_size=size))
    nest = encode(type_, family, element)
    assert decode(type_, family, memoryview(nest)[4:]) == element
    assert describe(type_, family, element)
