"""The kernel's own answers, beside ours: hashes that spread connections, sets with intervals."""

import socket
import subprocess

import pytest

from kproxy.inspect.rulesets.nft.jhash import jhash
from kproxy.inspect.rulesets.nft.sets import NftSet
from kproxy.inspect.rulesets.nft.values import read_scalar

SEED = 0x1234
MODULUS = 1000
TABLE = f"""
table ip t {{
    chain out {{
        type filter hook output priority 0; policy accept;
        udp dport 9 meta mark set jhash ip daddr mod {MODULUS} seed {SEED:#x}
        udp dport 9 update @seen {{ ip daddr . meta mark }}
    }}
    set seen {{ type ipv4_addr . mark; flags dynamic; size 1024; }}
}}
"""


def test_hashes_are_the_kernels(network_namespace: None) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["nft", "-f", "-"], input=TABLE, text=True, check=True)
    addresses = [bytes((127, 1, i, 255 - i)) for i in range(20)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for address in addresses:
            sock.sendto(b"", (socket.inet_ntoa(address), 9))
    listed = subprocess.run(
        ["nft", "list", "set", "ip", "t", "seen"], capture_output=True, text=True, check=True
    ).stdout
    for address in addresses:
        number = jhash(address, SEED) * MODULUS >> 32
        assert f"{socket.inet_ntoa(address)} . {number:#010x}" in listed


def test_sets_find_addresses_in_prefixes_and_ranges() -> None:
    prefix = {"prefix": {"addr": "10.0.0.0", "len": 8}}
    elements = [{"concat": ["tcp", prefix]}, {"concat": ["udp", {"range": ["192.0.2.1", "192.0.2.9"]}]}]
    found = NftSet("@s", ["inet_proto", "ipv4_addr"], elements, ())
    assert found.find((6, bytes((10, 9, 8, 7))))
    assert not found.find((17, bytes((10, 9, 8, 7))))
    assert found.find((17, bytes((192, 0, 2, 9))))
    assert not found.find((17, bytes((192, 0, 2, 10))))


@pytest.mark.parametrize(("text", "number"), [("1:2", 0x10002), ("none", 0), ("96c3:9bf8", 0x96C39BF8), (":5", 5)])
def test_traffic_classes(text: str, number: int) -> None:
    assert read_scalar(text, "classid") == number
