"""What expressions are for a packet: a value, or several with their probabilities where lots are drawn."""

from collections.abc import Mapping
from itertools import product
from typing import Any, NamedTuple

from kproxy.inspect.rulesets.nft.jhash import jhash
from kproxy.inspect.rulesets.nft.sets import Element, NftSet
from kproxy.inspect.rulesets.nft.values import Scalar, Value, read_scalar
from kproxy.inspect.rulesets.packet import PROTOCOL_NUMBERS, Packet
from kproxy.inspect.rulesets.routes import Routes, address_type
from kproxy.inspect.rulesets.understanding import NotUnderstoodError
from kproxy.services.addresses import Address, Family

_MOST_LOTS = 1 << 16
_OPERATIONS = {
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "<<": lambda a, b: a << b & 0xFFFFFFFF,
    ">>": lambda a, b: a >> b,
}
_TRANSPORT = {"tcp": "TCP", "udp": "UDP", "sctp": "SCTP"}
_IP = {"ip": Family.IPV4, "ip6": Family.IPV6}
_WITHOUT_SERVICES = frozenset({"icmp", "icmpv6", "igmp", "ah", "esp", "comp", "dccp", "udplite", "arp"})
"""Protocols that no packet here is of."""


class OtherProtocolError(Exception):
    """A rule is about packets of another protocol, so it ends here."""


class Drawn(NamedTuple):
    """A value that an expression may have."""

    probability: float
    value: Value
    type: str
    """Its data type, in nftables' words; for a concatenation, those of the fields."""
    comment: str = ""
    """Of the map's element that it comes from."""


class Surroundings(NamedTuple):
    """What an expression may refer to beside the packet."""

    sets: Mapping[str, NftSet]
    routes: Routes


def evaluate(expression: Any, packet: Packet, around: Surroundings) -> list[Drawn]:
    """Every value that an expression may have; none when the rule ends here (a map without the key).

    Raises:
        NotUnderstoodError: it is not known, or asks for what is not known of the packet
    """
    if not isinstance(expression, dict) or len(expression) != 1:
        raise NotUnderstoodError(f"the expression {expression!r}")
    ((name, body),) = expression.items()
    match name, body:
        case "payload", {"protocol": str(protocol), "field": str(field)}:
            return [Drawn(1.0, *_payload(protocol, field, packet))]
        case "meta", {"key": str(key)}:
            return [Drawn(1.0, *_meta(key, packet))]
        case "ct", {"key": "state"}:
            return [Drawn(1.0, "new", "ct_state")]
        case "fib", {"result": "type", "flags": flags}:
            return [Drawn(1.0, _address_type(flags, packet, around.routes), "fib_addrtype")]
        case "concat", list():
            return _concatenation(body, packet, around)
        case "numgen", {"mode": str(mode), "mod": int(modulus)} if mode in ("random", "inc"):
            # Where the counter of `inc` stands is not known; over many packets each number is as likely.
            return _lots(modulus, int(body.get("offset", 0)))
        case "jhash", {"mod": int(modulus), "expr": hashed}:
            return _hashes(body, hashed, modulus, packet, around)
        case "map", {"key": key, "data": data}:
            return _mapped(key, data, packet, around)
        case operator, [left, right] if operator in _OPERATIONS:
            return _combined(operator, left, right, packet, around)
    raise NotUnderstoodError(f"the expression {name}")


def _payload(protocol: str, field: str, packet: Packet) -> tuple[Scalar, str]:
    if protocol in _IP and packet.family is not _IP[protocol]:
        raise OtherProtocolError
    if protocol in _TRANSPORT and packet.protocol != _TRANSPORT[protocol]:
        raise OtherProtocolError
    if protocol in _WITHOUT_SERVICES:
        raise OtherProtocolError
    match protocol, field:
        case (("ip" | "ip6"), ("saddr" | "daddr")):
            address: Address = packet.source if field == "saddr" else packet.destination
            return address, "ipv4_addr" if protocol == "ip" else "ipv6_addr"
        case ("ip", "protocol") | ("ip6", "nexthdr"):
            return PROTOCOL_NUMBERS[packet.protocol.lower()], "inet_proto"
        case (("th" | "tcp" | "udp" | "sctp"), "dport"):
            return packet.port, "inet_service"
        case (("th" | "tcp" | "udp" | "sctp"), "sport"):
            if packet.source_port is None:
                raise NotUnderstoodError("depends on the source port")
            return packet.source_port, "inet_service"
        case "tcp", "flags":
            return "syn", "tcp_flag"  # the first packet of a connection
    raise NotUnderstoodError(f"the field {protocol} {field}")


def _meta(key: str, packet: Packet) -> tuple[Scalar, str]:
    match key:
        case "l4proto":
            return PROTOCOL_NUMBERS[packet.protocol.lower()], "inet_proto"
        case "mark":
            return packet.mark, "mark"
        case "priority":
            return packet.priority, "classid"
        case "nfproto":
            return packet.family.value.lower(), "nf_proto"
        case "protocol":
            return "ip" if packet.family is Family.IPV4 else "ip6", "nf_proto"
        case "iifname" | "iif" if packet.input_interface is not None:
            return packet.input_interface, "ifname"
        case "oifname" | "oif" if packet.output_interface is not None:
            return packet.output_interface, "ifname"
        case "iifname" | "iif" | "oifname" | "oif":
            raise NotUnderstoodError(f"meta {key}: the interface is not known")
    raise NotUnderstoodError(f"meta {key}")


def _address_type(flags: Any, packet: Packet, routes: Routes) -> str:
    named = flags if isinstance(flags, list) else [flags]
    if named == ["saddr"]:
        return address_type(packet.source, routes)
    if named == ["daddr"]:
        return address_type(packet.destination, routes)
    raise NotUnderstoodError(f"fib {' . '.join(map(str, named))}")


def _lots(modulus: int, offset: int) -> list[Drawn]:
    if not 0 < modulus <= _MOST_LOTS:
        raise NotUnderstoodError(f"numgen mod {modulus}")
    return [Drawn(1.0 / modulus, number + offset, "integer") for number in range(modulus)]


def _hashes(body: Mapping[str, Any], hashed: Any, modulus: int, packet: Packet, around: Surroundings) -> list[Drawn]:
    offset, seed = int(body.get("offset", 0)), body.get("seed")
    if modulus <= 0:
        raise NotUnderstoodError(f"jhash mod {modulus}")
    if seed is None:
        return _lots(modulus, offset)  # the kernel chose a seed that it does not tell
    found = []
    for drawn in evaluate(hashed, packet, around):
        if not isinstance(drawn.value, bytes):
            raise NotUnderstoodError("jhash of something other than an address")
        number = jhash(drawn.value, int(seed)) * modulus >> 32
        found.append(Drawn(drawn.probability, number + offset, "integer"))
    return found


def _concatenation(parts: list[Any], packet: Packet, around: Surroundings) -> list[Drawn]:
    found = []
    for combination in product(*(evaluate(part, packet, around) for part in parts)):
        probability = 1.0
        fields: list[Scalar] = []
        for drawn in combination:
            probability *= drawn.probability
            fields += drawn.value if isinstance(drawn.value, tuple) else [drawn.value]
        found.append(Drawn(probability, tuple(fields), " . ".join(drawn.type for drawn in combination)))
    return found


def _combined(operator: str, left: Any, right: Any, packet: Packet, around: Surroundings) -> list[Drawn]:
    found = []
    for drawn in evaluate(left, packet, around):
        if operator == "&" and drawn.type == "tcp_flag" and isinstance(right, list) and drawn.value in right:
            found.append(drawn)
            continue
        other = right if isinstance(right, int) else None
        if other is None or not isinstance(drawn.value, int):
            raise NotUnderstoodError(f"the operation {operator} {right!r}")
        found.append(drawn._replace(value=_OPERATIONS[operator](drawn.value, other)))
    return found


def _mapped(key: Any, data: Any, packet: Packet, around: Surroundings) -> list[Drawn]:
    found = []
    for drawn in evaluate(key, packet, around):
        set_, element = look_up(drawn, data, around)
        if element is None:
            continue
        value, types = element.data, set_.data_types
        fields = value["concat"] if isinstance(value, dict) and "concat" in value else [value]
        if len(types) != len(fields):
            types = tuple("ipv6_addr" if ":" in str(f) else "ipv4_addr" if "." in str(f) else "integer" for f in fields)
        read = tuple(read_scalar(field, type_) for field, type_ in zip(fields, types, strict=True))
        result: Value = read[0] if len(read) == 1 else read
        found.append(Drawn(drawn.probability, result, " . ".join(types), element.comment))
    return found


def look_up(drawn: Drawn, data: Any, around: Surroundings) -> tuple[NftSet, Element | None]:
    """Find what a map has for a key.

    Raises:
        NotUnderstoodError: there is no such map, or it has elements that are not understood
    """
    if isinstance(data, str):
        named = around.sets.get(data)
        if named is None:
            raise NotUnderstoodError(f"there is no {data}")
        return named, named.find(drawn.value)
    match data:
        case {"set": list(elements)}:
            anonymous = NftSet("", drawn.type.split(" . "), elements, ["verdict"])
            return anonymous, anonymous.find(drawn.value)
    raise NotUnderstoodError(f"the map {data!r}")
