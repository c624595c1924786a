"""The statements that our rules are made of: each is both what `nft` prints and what the kernel executes."""

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kproxy.kernel.nftnl import expressions as x
from kproxy.kernel.nftnl.protocol import NFPROTO_IPV4, NFPROTO_IPV6
from kproxy.services.addresses import Family, Network, format_address

NFPROTO = {Family.IPV4: NFPROTO_IPV4, Family.IPV6: NFPROTO_IPV6}
IP = {Family.IPV4: "ip", Family.IPV6: "ip6"}
"""How nft names a family, and its header."""

_PORT_UNREACHABLE = {Family.IPV4: 3, Family.IPV6: 4}
_SADDR = {Family.IPV4: 12, Family.IPV6: 8}
_DADDR = {Family.IPV4: 16, Family.IPV6: 24}
_FIRST = x.REG32_00
_SEED = 0x6B70
"""Of hashes: fixed, so that a restart sends nobody elsewhere."""
_DATA_REGISTER = 12
"""Behind the longest key that an affinity map has: two IPv6 addresses, protocol and port."""


class DataType(NamedTuple):
    """A type of nft: its name, its number (libnftables' enum datatypes), its length in bytes."""

    name: str
    number: int
    length: int


INET_PROTO = DataType("inet_proto", 12, 1)
INET_SERVICE = DataType("inet_service", 13, 2)
MARK = DataType("mark", 19, 4)
CLASSID = DataType("classid", 23, 4)
VERDICT = DataType("verdict", 1, 0)
ADDRESS = {Family.IPV4: DataType("ipv4_addr", 7, 4), Family.IPV6: DataType("ipv6_addr", 8, 16)}


class Statement(NamedTuple):
    """Part of a rule."""

    text: str
    expressions: bytes


class Field(NamedTuple):
    """Something of a packet that can be part of a key."""

    text: str
    type: DataType
    load: Callable[[int], bytes]
    """Encodes the expression that loads it into a register."""


def saddr(family: Family) -> Field:
    return _address(family, "saddr", _SADDR[family])


def daddr(family: Family) -> Field:
    return _address(family, "daddr", _DADDR[family])


def _address(family: Family, name: str, offset: int) -> Field:
    type_ = ADDRESS[family]
    return Field(f"{IP[family]} {name}", type_, lambda r: x.payload(r, x.PAYLOAD_NETWORK, offset, type_.length))


L4PROTO = Field("meta l4proto", INET_PROTO, lambda r: x.meta(r, x.META_L4PROTO))
DPORT = Field("th dport", INET_SERVICE, lambda r: x.payload(r, x.PAYLOAD_TRANSPORT, 2, 2))
PRIORITY = Field("meta priority", CLASSID, lambda r: x.meta(r, x.META_PRIORITY))


FIRST_SLOT = Field("numgen random mod 1", MARK, lambda r: x.numgen(r, 1, x.RANDOM))
"""Always 0: nft has no constants in a concatenation."""


Key = Sequence[Field]


def key_text(key: Key) -> str:
    return " . ".join(field.text for field in key)


def _load(key: Key) -> bytes:
    """Load a key into consecutive registers."""
    encoded, register = b"", _FIRST
    for field in key:
        encoded += field.load(register)
        register += (field.type.length + 3) // 4
    return encoded


# ---------------------------------------------------------------------- matches


def in_set(key: Key, name: str) -> Statement:
    return Statement(f"{key_text(key)} @{name}", _load(key) + x.lookup(name, _FIRST))


def not_in_set(key: Key, name: str) -> Statement:
    return Statement(f"{key_text(key)} != @{name}", _load(key) + x.lookup(name, _FIRST, inverted=True))


def source_in(network: Network, family: Family, *, inverted: bool = False) -> Statement:
    length = len(network.address)
    mask = ((1 << length * 8) - (1 << (length * 8 - network.prefix_length))).to_bytes(length, "big")
    field = saddr(family)
    narrowed = x.bitwise(_FIRST, mask, bytes(length)) if network.prefix_length < length * 8 else b""
    test = x.compare(_FIRST, x.NOT_EQUAL if inverted else x.EQUAL, network.address)
    shown = str(network) if narrowed else format_address(network.address)
    return Statement(f"{field.text} {'!= ' if inverted else ''}{shown}", field.load(_FIRST) + narrowed + test)


def input_interface(name: str, *, prefix: bool = False, inverted: bool = False) -> Statement:
    """The interface that a packet came in on, by name or by the start of its name."""
    encoded = name.encode() if prefix else name.encode().ljust(16, b"\0")
    test = x.compare(_FIRST, x.NOT_EQUAL if inverted else x.EQUAL, encoded)
    shown = f'"{name}*"' if prefix else f'"{name}"'
    return Statement(f"iifname {'!= ' if inverted else ''}{shown}", x.meta(_FIRST, x.META_IIFNAME) + test)


def _bit_of(load: bytes, bit: int) -> bytes:
    word = bit.to_bytes(4, sys.byteorder)
    return load + x.bitwise(_FIRST, word, bytes(4)) + x.compare(_FIRST, x.NOT_EQUAL, bytes(4))


CT_NEW = Statement("ct state new", _bit_of(x.ct(_FIRST, x.CT_STATE), x.CT_STATE_NEW))
CT_DNAT = Statement("ct status dnat", _bit_of(x.ct(_FIRST, x.CT_STATUS), x.CT_STATUS_DNAT))
SOURCE_IS_LOCAL = Statement(
    "fib saddr type local",
    x.fib_address_type(_FIRST, x.FIB_SADDR) + x.compare(_FIRST, x.EQUAL, x.RTN_LOCAL.to_bytes(4, sys.byteorder)),
)


def mark_has(bit: int) -> Statement:
    return Statement(f"meta mark & {bit:#010x} != 0x00000000", _bit_of(x.meta(_FIRST, x.META_MARK), bit))


# ---------------------------------------------------------------------- actions


def _change_mark(mask: int, xor: int) -> bytes:
    change = x.bitwise(_FIRST, mask.to_bytes(4, sys.byteorder), xor.to_bytes(4, sys.byteorder))
    return x.meta(_FIRST, x.META_MARK) + change + x.set_meta(_FIRST, x.META_MARK)


def set_mark(bit: int) -> Statement:
    return Statement(f"meta mark set meta mark | {bit:#010x}", _change_mark(~bit & 0xFFFFFFFF, bit))


def clear_mark(bit: int) -> Statement:
    """Flip the bit, known to be set, back."""
    return Statement(f"meta mark set meta mark ^ {bit:#010x}", _change_mark(0xFFFFFFFF, bit))


CLEAR_PRIORITY = Statement(
    "meta priority set none", x.immediate(_FIRST, bytes(4)) + x.set_meta(_FIRST, x.META_PRIORITY)
)


def draw_random(modulus: int) -> Statement:
    """Set the packet's priority to a random number below the modulus."""
    draw = x.numgen(_FIRST, modulus, x.RANDOM) + x.set_meta(_FIRST, x.META_PRIORITY)
    return Statement(f"meta priority set numgen random mod {modulus}", draw)


def draw_next(modulus: int) -> Statement:
    """Set it to one more than the time before."""
    draw = x.numgen(_FIRST, modulus, x.INCREMENT) + x.set_meta(_FIRST, x.META_PRIORITY)
    return Statement(f"meta priority set numgen inc mod {modulus}", draw)


def draw_hash(field: Field, modulus: int) -> Statement:
    """Set it to a hash of a field of the packet."""
    draw = field.load(_FIRST) + x.jhash(_FIRST, field.type.length, modulus, _SEED)
    text = f"meta priority set jhash {field.text} mod {modulus} seed {_SEED:#x}"
    return Statement(text, draw + x.set_meta(_FIRST, x.META_PRIORITY))


def set_priority(key: Key, map_name: str) -> Statement:
    """Set the packet's priority to what a map has for the key; without an element the rule ends here."""
    encoded = _load(key) + x.lookup(map_name, _FIRST, result=_FIRST) + x.set_meta(_FIRST, x.META_PRIORITY)
    return Statement(f"meta priority set {key_text(key)} map @{map_name}", encoded)


def remember(key: Key, data: Field, map_name: str, seconds: int) -> Statement:
    """Add an element with a timeout; of one that exists, restart the timeout and keep the data."""
    register = x.REG32_00 + _DATA_REGISTER
    load = _load(key) + data.load(register)
    encoded = load + x.dynset(map_name, x.DYNSET_UPDATE, _FIRST, data=register, timeout=seconds * 1000)
    return Statement(
        f"update @{map_name} {{ {key_text(key)} timeout {_duration_text(seconds)} : {data.text} }}", encoded
    )


def forget(key: Key, data: Field, map_name: str) -> Statement:
    """Delete an element; its data does not matter, but nft wants to print some."""
    register = x.REG32_00 + _DATA_REGISTER
    load = _load(key) + data.load(register)
    encoded = load + x.dynset(map_name, x.DYNSET_DELETE, _FIRST, data=register)
    return Statement(f"delete @{map_name} {{ {key_text(key)} : {data.text} }}", encoded)


def _duration_text(seconds: int) -> str:
    """As nft prints it: `1d2h3m4s`, without the parts that are zero."""
    parts = (seconds // 86_400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s")
    return "".join(f"{number}{unit}" for number, unit in parts if number)


def verdict_map(key: Key, name: str) -> Statement:
    return Statement(f"{key_text(key)} vmap @{name}", _load(key) + x.lookup(name, _FIRST, result=x.REG_VERDICT))


def dnat_to(family: Family, key: Key, map_name: str) -> Statement:
    """Send the connection to the address and port that a map has for the key; without an element, go on."""
    port = _FIRST + family.length // 4
    encoded = _load(key) + x.lookup(map_name, _FIRST, result=_FIRST) + x.dnat(NFPROTO[family], _FIRST, port)
    return Statement(f"dnat {IP[family]} to {key_text(key)} map @{map_name}", encoded)


def jump(chain: str) -> Statement:
    return Statement(f"jump {chain}", x.verdict(x.JUMP, chain))


def goto(chain: str) -> Statement:
    return Statement(f"goto {chain}", x.verdict(x.GOTO, chain))


DROP = Statement("drop", x.verdict(x.DROP))
MASQUERADE = Statement("masquerade fully-random", x.masquerade(x.MASQUERADE_FULLY_RANDOM))


def reject(family: Family) -> Statement:
    return Statement("reject", x.reject_port_unreachable(_PORT_UNREACHABLE[family]))
