"""Transactions, elements and monitoring, against the kernel."""

import select
import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kproxy.kernel.nftnl import protocol
from kproxy.kernel.nftnl.elements import MAX_ATTRIBUTE, ElementLayout
from kproxy.kernel.nftnl.monitor import TableMonitor
from kproxy.kernel.nftnl.protocol import NFPROTO_IPV4, SetAttributes
from kproxy.kernel.nftnl.reading import read_elements, read_table
from kproxy.kernel.nftnl.transaction import Committed, NftSocket, Refusal

ADDRESSES = ElementLayout(4)
IPV4_ADDR = SetAttributes(flags=0, key_type=7, key_length=4)


def make_set(socket: NftSocket, table: str = "t") -> None:
    batch = [
        protocol.new_table(NFPROTO_IPV4, table),
        protocol.new_set(NFPROTO_IPV4, table, "s", IPV4_ADDR, identifier=1),
    ]
    assert isinstance(socket.commit(batch), Committed)


def add(records: bytes, *, delete: bool = False) -> list[protocol.Message]:
    encode = ADDRESSES.encode_keys if delete else ADDRESSES.encode
    return [
        protocol.elements_message(NFPROTO_IPV4, "t", "s", encoded, delete=delete, about=number)
        for number, encoded in enumerate(encode(records))
    ]


@given(key=st.integers(1, 7), data=st.integers(0, 5), ranges=st.booleans(), count=st.integers(0, 60), seed=st.randoms())
def test_elements_survive_the_way_there_and_back(key: int, data: int, ranges: bool, count: int, seed: object) -> None:
    layout = ElementLayout(key * 4, data * 4, ranges=ranges)
    records = bytes(seed.randrange(256) for _ in range(layout.record * count))  # type: ignore[attr-defined]
    encoded = b"".join(layout.encode(records))
    assert layout.decode(memoryview(encoded)) == records


def test_lists_of_elements_fit_an_attribute() -> None:
    layout = ElementLayout(16, 8)
    lists = list(layout.encode(bytes(24 * 5000)))
    assert len(lists) > 1
    assert max(map(len, lists)) + 4 <= MAX_ATTRIBUTE


@pytest.mark.usefixtures("network_namespace")
def test_what_is_written_can_be_read() -> None:
    socket = NftSocket()
    make_set(socket)
    records = b"".join(number.to_bytes(4, "big") for number in range(1, 20_000))
    assert isinstance(socket.commit(add(records)), Committed)
    expected = {records[i : i + 4] for i in range(0, len(records), 4)}
    deadline = time.monotonic() + 5
    found = None
    while found != expected:  # until the kernel has grown the set's hash table
        assert time.monotonic() < deadline
        joined = read_elements(socket, NFPROTO_IPV4, "t", "s", ADDRESSES) or b""
        found = {joined[i : i + 4] for i in range(0, len(joined), 4)}
    assert read_table(socket, NFPROTO_IPV4, "absent") is None
    contents = read_table(socket, NFPROTO_IPV4, "t")
    assert contents is not None
    assert contents.sets == {"s": IPV4_ADDR}


@pytest.mark.usefixtures("network_namespace")
def test_a_refused_batch_changes_nothing_and_names_the_element() -> None:
    socket = NftSocket()
    make_set(socket)
    present = (7).to_bytes(4, "big")
    assert isinstance(socket.commit(add(present)), Committed)
    records = b"".join(number.to_bytes(4, "big") for number in range(1, 10))
    refusals = socket.commit(add(records))
    assert isinstance(refusals, list)
    (refusal,) = refusals
    assert isinstance(refusal, Refusal)
    assert "EEXIST" in str(refusal)
    assert refusal.message is not None
    assert refusal.message.about == 0
    start = 16 + 4 + 8 + 8 + 4  # headers, the table's name, the set's name, the list's header
    assert refusal.answer.offset is not None
    assert ADDRESSES.index_of(refusal.answer.offset - start, keys=False) == 6
    assert read_elements(socket, NFPROTO_IPV4, "t", "s", ADDRESSES) == present


@pytest.mark.usefixtures("network_namespace")
def test_every_refused_message_is_reported() -> None:
    socket = NftSocket()
    make_set(socket)
    batch = [protocol.delete_chain(NFPROTO_IPV4, "t", name) for name in ("a", "b")]
    refusals = socket.commit(batch)
    assert isinstance(refusals, list)
    assert [r.message.about for r in refusals if r.message] == ["chain a", "chain b"]


@pytest.mark.usefixtures("network_namespace")
def test_the_monitor_sees_others_and_not_us() -> None:
    socket = NftSocket()
    make_set(socket)
    monitor = TableMonitor("t", {NFPROTO_IPV4}, socket.netlink.port_id)
    assert isinstance(socket.commit(add(b"\x0a\x00\x00\x01")), Committed)
    assert select.select([monitor], [], [], 0)[0] == []
    for command, is_ours in (
        ("add table ip other", False),
        ("add table ip6 t", False),
        ("add element ip t s { 10.0.0.2 }", True),
        ("add chain ip t c", True),
        ("add rule ip t c drop", True),
        ("delete element ip t s { 10.0.0.1 }", True),
        ("delete table ip t", True),
    ):
        subprocess.run(["nft", *command.split()], check=True)
        assert select.select([monitor], [], [], 5)[0], command
        assert monitor.touched() is is_ours, command
    monitor.close()


@pytest.mark.usefixtures("network_namespace")
def test_a_monitor_that_is_overrun_reports_the_worst() -> None:
    socket = NftSocket()
    monitor = TableMonitor("t", {NFPROTO_IPV4}, 0)
    monitor._netlink._socket.setsockopt(1, 33, 4096)  # SO_RCVBUFFORCE
    script = "add table ip noise; add set ip noise s { type ipv4_addr; };" + "".join(
        f"add element ip noise s {{ 10.0.{i // 250}.{i % 250} }};" for i in range(2000)
    )
    subprocess.run(
        ["nft", "-f", "-"],
        input=script.replace(";", "\n").replace("ipv4_addr\n }", "ipv4_addr; }"),
        text=True,
        check=True,
    )
    assert monitor.touched() is True
    monitor.close()
    socket.close()


@pytest.mark.usefixtures("network_namespace")
def test_generations_count_commits() -> None:
    socket = NftSocket()
    before = socket.generation()
    make_set(socket)
    assert socket.generation() == before + 1
