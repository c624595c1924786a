"""What the stock kube-proxy v1.36.2 had in the kernel in each mode, and what packets met meanwhile."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kproxy.inspect.rulesets.iptables.ipsets import IpSets, read_sets
from kproxy.inspect.rulesets.iptables.saved import read_saved
from kproxy.inspect.rulesets.ipvs import VirtualServer
from kproxy.inspect.rulesets.nft.ruleset import read_ruleset
from kproxy.inspect.rulesets.snapshot import Snapshot
from kproxy.kernel.ipvs.protocol import PERSISTENT, RealServer, ServerKey, ServerSettings
from kproxy.services.addresses import Address, Family, parse_address
from kproxy.services.objects import Protocol

# Those that iptables mode's own tests have too.
DUMPS = Path(__file__).parents[2] / "iptables" / "dumps"
FOLDER = Path(__file__).parents[1] / "fixtures" / "stock"
_IPVS_PROTOCOLS = {"-t": 6, "-u": 17}


class Row(NamedTuple):
    """What one client met at one address."""

    client: str
    address: str
    port: int
    protocol: Protocol
    result: list[str]
    pods: list[str]
    """Who answered; one entry such as "1 pod" where it is the proxy's choice which."""
    sources: list[str]


class Recording(NamedTuple):
    mode: str
    name: str
    snapshot: Snapshot
    virtual: list[Address]
    """Addresses on kube-ipvs0."""
    rows: list[Row]

    def __str__(self) -> str:
        return f"{self.mode}-{self.name}"


def recordings(mode: str) -> Iterator[Recording]:
    """Every recorded phase of a mode."""
    for name, rows in json.loads((FOLDER / f"{mode}.json").read_text()).items():
        snapshot, virtual = read(mode, name)
        yield Recording(mode, name, snapshot, virtual, [Row(*row) for row in rows])


def read(mode: str, name: str) -> tuple[Snapshot, list[Address]]:
    """The rules of one recorded phase, and the addresses on kube-ipvs0."""
    if mode == "nftables":
        return _nftables(FOLDER / mode / f"{name}.json")
    path = FOLDER / mode / f"{name}.txt"
    return _iptables(path if path.exists() else DUMPS / f"{name.removesuffix('.initial')}.txt")


def _nftables(path: Path) -> tuple[Snapshot, list[Address]]:
    ruleset = read_ruleset(path.read_bytes())
    assert not ruleset.unread
    return Snapshot(nft=ruleset), []


def _iptables(path: Path) -> tuple[Snapshot, list[Address]]:
    parts = re.split(r"^### (.*)\n", path.read_text(), flags=re.MULTILINE)
    rules: dict[Family, str] = dict.fromkeys(Family, "")
    sets, servers, virtual = IpSets({}), dict[ServerKey, VirtualServer](), list[Address]()
    for command, output in zip(parts[1::2], parts[2::2], strict=True):
        match command.split()[0]:
            case "iptables-save":
                rules[Family.IPV4] += output
            case "ip6tables-save":
                rules[Family.IPV6] += output
            case "ipset":
                sets = read_sets(output)
            case "ipvsadm-save":
                servers = virtual_servers(output)
            case "ip":
                virtual = [_address(word.split("/")[0]) for word in output.split()[2:]]
    tables = {family: {"iptables": read_saved(text)} for family, text in rules.items() if text}
    return Snapshot(iptables=tables, sets=sets, servers=servers), virtual


def virtual_servers(saved: str) -> dict[ServerKey, VirtualServer]:
    """Read what `ipvsadm-save -n` prints."""
    found: dict[ServerKey, VirtualServer] = {}
    for line in saved.splitlines():
        words = line.split()
        address, port = _authority(words[2])
        key = ServerKey(_IPVS_PROTOCOLS[words[1]], address, port)
        if words[0] == "-A":
            seconds = int(words[words.index("-p") + 1]) if "-p" in words else 0
            flags = PERSISTENT if seconds else 0
            settings = ServerSettings(words[words.index("-s") + 1], flags, seconds)
            found[key] = VirtualServer(settings, [])
        else:
            real, number = _authority(words[4])
            backend = real + number.to_bytes(2, "big")
            servers = [*found[key].real_servers, RealServer(backend, int(words[words.index("-w") + 1]), 0)]
            found[key] = found[key]._replace(real_servers=servers)
    return found


def _authority(text: str) -> tuple[Address, int]:
    host, _, port = text.rpartition(":")
    return _address(host.strip("[]")), int(port)


def _address(text: str) -> Address:
    address = parse_address(text)
    assert address is not None
    return address
