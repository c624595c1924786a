"""Sets of ipset, as `ipset save` prints them, and whether a packet is in one (ipset(8))."""

from collections.abc import Mapping
from typing import NamedTuple

from kproxy.inspect.rulesets.packet import Packet
from kproxy.inspect.rulesets.understanding import NotUnderstoodError
from kproxy.services.addresses import Address, Network, format_address, parse_address, parse_network

_HASHES = ("hash:", "bitmap:")
_PARTS = frozenset({"ip", "port", "net"})


class IpSet(NamedTuple):
    """One set."""

    parts: tuple[str, ...]
    """What its elements consist of: `ip`, `port` and `net`; of another type of set, the type's name."""
    elements: frozenset[str]
    """As the program writes them, without options such as timeouts."""
    networks: tuple[tuple[str, ...], ...]
    """Elements that stand for more than one address, by part."""


class IpSets:
    """Every set there is. Implements `kproxy.inspect.rulesets.iptables.conditions.Sets`."""

    def __init__(self, sets: Mapping[str, IpSet]) -> None:
        self._sets = sets

    def __contains__(self, name: str) -> bool:
        return name in self._sets

    def matches(self, name: str, directions: str, packet: Packet) -> bool:
        """Whether the packet is in a set."""
        found = self._sets.get(name)
        if found is None:
            raise NotUnderstoodError(f"there is no set {name}, or it cannot be read")
        chosen = directions.split(",")
        if not _PARTS.issuperset(found.parts) or len(chosen) < len(found.parts):
            raise NotUnderstoodError(f"set {name} of type {','.join(found.parts)} with {directions}")
        pairs = list(zip(found.parts, chosen, strict=False))
        text = ",".join(_text(part, way, packet, alone=len(pairs) == 1) for part, way in pairs)
        if text in found.elements:
            return True
        return any(
            all(_within(field, part, way, packet) for field, (part, way) in zip(fields, pairs, strict=True))
            for fields in found.networks
        )


def _address(way: str, packet: Packet) -> Address:
    return packet.source if way == "src" else packet.destination


def _text(part: str, way: str, packet: Packet, *, alone: bool) -> str:
    if part != "port":
        return format_address(_address(way, packet))
    port = packet.port if way == "dst" else packet.source_port
    if port is None:
        raise NotUnderstoodError("depends on the source port")
    # A bitmap of ports does not know protocols.
    return str(port) if alone else f"{packet.protocol.lower()}:{port}"


def _within(field: str, part: str, way: str, packet: Packet) -> bool:
    if part == "port":
        return field == _text(part, way, packet, alone=False)
    address = _address(way, packet)
    if "/" not in field:
        return parse_address(field) == address
    network: Network | None = parse_network(field)
    return network is not None and address in network


def read_sets(text: str) -> IpSets:
    """Read what `ipset save` prints; lines that are none of its are passed over."""
    parts: dict[str, tuple[str, ...]] = {}
    elements: dict[str, list[str]] = {}
    for line in text.splitlines():
        match line.split():
            case ["create", name, type_, *_]:
                stem = next((h for h in _HASHES if type_.startswith(h)), "")
                parts[name] = tuple(type_.removeprefix(stem).split(",")) if stem else (type_,)
                elements[name] = []
            case ["add", name, element, *_] if name in elements:
                elements[name].append(element)
    found = {}
    for name, types in parts.items():
        nets = "net" in types
        plain = [e for e in elements[name] if not nets or "/" not in e]
        split = [tuple(e.split(",")) for e in elements[name] if nets and "/" in e]
        wide = tuple(fields for fields in split if len(fields) == len(types))
        found[name] = IpSet(types, frozenset(plain), wide)
    return IpSets(found)


def referred(text: str) -> bool:
    """Whether rules, as iptables-save prints them, look into any set."""
    return "--match-set" in text
