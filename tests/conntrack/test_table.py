"""The kernel's table: what is found, what is left out, what is deleted."""

import ctypes
import errno
import struct
import threading
from collections.abc import Iterator

import pytest

from kproxy.kernel.conntrack import table as table_module
from kproxy.kernel.conntrack.protocol import GET, dump_filter
from kproxy.kernel.conntrack.table import ConntrackTable, Deletion
from kproxy.kernel.netlink import NETLINK_NETFILTER, NetlinkSocket
from kproxy.services.addresses import Family

from .entries import SCTP, TCP, UDP, Entry, backend, destinations, insert, listed, packed

pytestmark = pytest.mark.usefixtures("network_namespace")

CLIENT, CLIENT6 = "10.0.0.1", "fd00::1"
DNS, DNS6, EXTERNAL = ("10.96.0.10", 53), ("fd00:96::a", 53), ("198.51.100.1", 53)
POD, POD6 = ("10.244.1.2", 5353), ("fd00:244::2", 5353)


@pytest.fixture
def table(network_namespace: None) -> Iterator[ConntrackTable]:
    opened = ConntrackTable()
    yield opened
    opened.close()


def some_of_each() -> list[Entry]:
    return [
        Entry((CLIENT, 1001), DNS, POD, UDP),
        Entry((CLIENT, 1002), EXTERNAL, POD, UDP),
        Entry((CLIENT, 1003), ("10.96.0.10", 54), POD, UDP),
        Entry((CLIENT, 1004), DNS, POD, TCP),
        Entry((CLIENT, 1005), DNS, POD, SCTP),
        Entry((CLIENT6, 1006), DNS6, POD6, UDP),
    ]


def test_flows_of_one_family_and_protocol_are_found(table: ConntrackTable) -> None:
    insert(some_of_each())
    found = {(flow.address, flow.port, flow.backend) for flow in table.flows(Family.IPV4, "UDP")}
    assert found == {(packed(a), port, backend(*POD)) for a, port in (DNS, EXTERNAL, ("10.96.0.10", 54))}
    (flow,) = table.flows(Family.IPV6, "UDP")
    assert flow[:3] == (packed(DNS6[0]), 53, backend(*POD6))
    (flow,) = table.flows(Family.IPV4, "SCTP")
    assert flow[:3] == (packed(DNS[0]), 53, backend(*POD))


def test_the_kernel_leaves_out_what_is_not_asked_for(table: ConntrackTable) -> None:
    insert(some_of_each())
    with NetlinkSocket(NETLINK_NETFILTER) as netlink:

        def count(address: bytes | None, port: int | None) -> int:
            body = bytes((2, 0, 0, 0)) + dump_filter(UDP, Family.IPV4, address, port)
            return len(list(netlink.dump(GET, body)))

        assert count(None, None) == 3
        assert count(None, 53) == 2
        assert count(packed("10.96.0.10"), None) == 2
        assert count(packed("10.96.0.10"), 53) == 1
    only = table.flows(Family.IPV4, "UDP", address=packed("198.51.100.1"), port=53)
    assert [flow.address for flow in only] == [packed("198.51.100.1")]
    only = table.flows(Family.IPV6, "UDP", address=packed(DNS6[0]), port=53)
    assert [flow.address for flow in only] == [packed(DNS6[0])]


def test_a_kernel_that_refuses_the_filter_is_asked_without_it(
    table: ConntrackTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(some_of_each())
    asked = []

    def unknown_flag(*arguments: object) -> bytes:
        asked.append(arguments)
        return dump_filter(UDP, Family.IPV4, None, None)[:-4] + b"\xff\xff\xff\xff"

    monkeypatch.setattr(table_module, "dump_filter", unknown_flag)
    assert {flow.port for flow in table.flows(Family.IPV4, "UDP", port=53)} == {53, 54}
    assert len(list(table.flows(Family.IPV6, "UDP"))) == 1
    assert [flow.port for flow in table.flows(Family.IPV4, "SCTP")] == [53]
    assert len(asked) == 1


def test_exactly_the_given_flows_are_deleted(table: ConntrackTable) -> None:
    insert(some_of_each())
    assert table.delete(Family.IPV4, table.flows(Family.IPV4, "UDP", port=53)) == Deletion(2, {})
    assert destinations("-f", "ipv4") == {("10.96.0.10", 54): 1, DNS: 2}
    assert {line.split()[2] for line in listed("-f", "ipv4") if "dport=53 " in line} == {"tcp", "sctp"}
    assert table.delete(Family.IPV6, table.flows(Family.IPV6, "UDP")) == Deletion(1, {})
    assert destinations("-f", "ipv6") == {}


def test_a_flow_that_has_gone_or_begun_anew_is_nobodys_error(table: ConntrackTable) -> None:
    entry = Entry((CLIENT, 1001), DNS, POD)
    insert([entry])
    flows = list(table.flows(Family.IPV4, "UDP"))
    assert table.delete(Family.IPV4, flows) == Deletion(1, {})
    assert table.delete(Family.IPV4, flows) == Deletion(0, {})
    insert([Entry((CLIENT, 1002), EXTERNAL, POD), entry])  # the first one takes the deleted entry's place in memory
    assert table.delete(Family.IPV4, flows) == Deletion(0, {})
    assert destinations() == {DNS: 1, EXTERNAL: 1}


def test_zones_are_told_apart(table: ConntrackTable) -> None:
    other = ("10.244.1.9", 5353)
    insert(
        [
            Entry((CLIENT, 1001), DNS, POD),
            Entry((CLIENT, 1001), DNS, other, zone=7),
            Entry((CLIENT, 1001), DNS, ("10.244.1.8", 5353), original_zone=9),
        ]
    )
    flows = {flow.backend: flow for flow in table.flows(Family.IPV4, "UDP", port=53)}
    assert len(flows) == 3
    assert table.delete(Family.IPV4, [flows[backend(*other)]]) == Deletion(1, {})
    assert len(listed()) == 2
    assert not [line for line in listed() if "zone=7" in line]
    assert table.delete(Family.IPV4, [flows[backend("10.244.1.8", 5353)]]) == Deletion(1, {})
    assert [line for line in listed() if "zone" in line] == []
    assert destinations() == {DNS: 1}


def test_twenty_thousand_flows(table: ConntrackTable) -> None:
    insert(Entry((f"10.1.{i >> 8}.{i & 255}", 1024 + i), DNS, (f"10.244.1.{i % 2 + 2}", 5353)) for i in range(20_000))
    gone = [flow for flow in table.flows(Family.IPV4, "UDP") if flow.backend == backend("10.244.1.2", 5353)]
    assert table.delete(Family.IPV4, gone) == Deletion(10_000, {})
    left = list(table.flows(Family.IPV4, "UDP", address=packed("10.96.0.10"), port=53))
    assert {flow.backend for flow in left} == {backend("10.244.1.3", 5353)}
    assert len(left) == 10_000 == destinations()[DNS]


def test_without_the_right_to_it_the_table_is_closed(table: ConntrackTable) -> None:
    insert(Entry((CLIENT, 1001 + i), DNS, POD) for i in range(10))
    flows = list(table.flows(Family.IPV4, "UDP"))
    errors: list[OSError] = []

    def try_without_capabilities() -> None:
        drop_capabilities_of_this_thread()
        for attempt in (lambda: list(table.flows(Family.IPV4, "UDP")), lambda: table.delete(Family.IPV4, flows)):
            with pytest.raises(PermissionError) as caught:
                attempt()
            errors.append(caught.value)

    thread = threading.Thread(target=try_without_capabilities, daemon=True)
    thread.start()
    thread.join(5)
    assert [error.errno for error in errors] == [errno.EPERM, errno.EPERM]
    assert destinations() == {DNS: 10}


def drop_capabilities_of_this_thread() -> None:
    version_3, this_thread = 0x20080522, 0
    header, none = struct.pack("=Ii", version_3, this_thread), bytes(24)
    assert ctypes.CDLL(None).capset(header, none) == 0
