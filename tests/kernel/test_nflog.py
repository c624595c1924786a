"""What rules log, read over nfnetlink_log, and which logger the kernel uses."""

import select
import socket
import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kproxy.kernel.netlink import Message
from kproxy.kernel.nflog.loggers import NFNETLINK_LOG, NO_LOGGER, read_logger, set_logger
from kproxy.kernel.nflog.packets import PACKET, LoggedPacket, read_packet
from kproxy.kernel.nflog.socket import LogSocket
from kproxy.kernel.nftnl.protocol import HOOK_OUTPUT, NFPROTO_IPV4, NFPROTO_IPV6
from kproxy.services.addresses import Family

GROUP = 7
RULES = f"""
table inet t {{
    chain out {{
        type filter hook output priority 0
        udp dport 9 meta mark set 0x4000 log prefix "a prefix: " group {GROUP}
        udp dport 10 log prefix "elsewhere" group {GROUP + 1}
    }}
}}
"""


@pytest.fixture
def logging_rules(network_namespace: None) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["nft", "-f", "-"], input=RULES, text=True, check=True)


def send(family: int, address: str, port: int, payload: bytes = b"x") -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.sendto(payload, (address, port))


def received(log: LogSocket, number: int) -> list[LoggedPacket]:
    packets: list[LoggedPacket] = []
    while len(packets) < number:
        assert select.select([log], [], [], 5)[0]
        packets += (packet for packet in log.packets() if packet is not None)
    return packets


@pytest.mark.usefixtures("logging_rules")
def test_packets_of_a_group_are_told_with_what_the_rule_says() -> None:
    log = LogSocket(GROUP, length=64)
    send(socket.AF_INET, "127.0.0.1", 10)
    send(socket.AF_INET, "127.0.0.1", 9)
    send(socket.AF_INET6, "::1", 9)
    first, second = received(log, 2)
    log.close()
    lo = socket.if_nametoindex("lo")
    for packet, family in ((first, NFPROTO_IPV4), (second, NFPROTO_IPV6)):
        assert packet._replace(payload=b"") == LoggedPacket(
            family, HOOK_OUTPUT, "a prefix: ", b"", mark=0x4000, input_interface=0, output_interface=lo
        )
    assert first.payload[16:20] == bytes((127, 0, 0, 1))
    assert second.payload[40:][2:4] == struct.pack(">H", 9)


@pytest.mark.usefixtures("logging_rules")
def test_long_packets_are_cut() -> None:
    log = LogSocket(GROUP, length=40)
    send(socket.AF_INET, "127.0.0.1", 9, bytes(1000))
    assert len(received(log, 1)[0].payload) == 40
    log.close()


@pytest.mark.usefixtures("logging_rules")
def test_what_does_not_fit_is_told_of_as_lost() -> None:
    log = LogSocket(GROUP, length=1 << 16)
    for _ in range(2000):
        send(socket.AF_INET, "127.0.0.1", 9, bytes(16_000))
    assert None in list(log.packets())
    log.close()


@pytest.mark.usefixtures("network_namespace")
def test_a_group_has_one_reader() -> None:
    first = LogSocket(GROUP, length=64)
    with pytest.raises(PermissionError):
        LogSocket(GROUP, length=64)
    LogSocket(GROUP + 1, length=64).close()
    first.close()
    LogSocket(GROUP, length=64).close()


@pytest.mark.usefixtures("network_namespace")
@pytest.mark.parametrize("family", Family)
def test_the_logger_of_a_family_can_be_exchanged(family: Family) -> None:
    LogSocket(GROUP, length=64).close()  # loads nfnetlink_log, where it is a module
    other = next(each for each in Family if each is not family)
    before, untouched = read_logger(family), read_logger(other)
    for name in (NFNETLINK_LOG, NO_LOGGER, before):
        set_logger(family, name)
        assert (read_logger(family), read_logger(other)) == (name, untouched)
    with pytest.raises(FileNotFoundError):
        set_logger(family, "no such logger")


@given(body=st.binary(max_size=200), type_=st.sampled_from([PACKET, 0]))
def test_no_message_is_too_odd_to_be_read(body: bytes, type_: int) -> None:
    found = read_packet(Message(type_, 0, 0, 0, memoryview(body)))
    assert found is None or type_ == PACKET
