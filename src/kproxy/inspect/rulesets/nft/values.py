"""Values of nftables' JSON in one form each, so that they can be compared: packed addresses, numbers, words."""

from typing import Any, NamedTuple, TypeAlias

from kproxy.inspect.rulesets.packet import PROTOCOL_NUMBERS
from kproxy.inspect.rulesets.understanding import NotUnderstoodError
from kproxy.services.addresses import Network, parse_address, parse_network

Scalar: TypeAlias = bytes | int | str
"""A packed address, a number, or a word (the name of an interface, a state)."""
Value: TypeAlias = Scalar | tuple[Scalar, ...]
"""A tuple is a concatenation."""

ADDRESS_TYPES = frozenset({"ipv4_addr", "ipv6_addr"})
NUMBER_TYPES = frozenset({"mark", "classid", "integer", "inet_service", "inet_proto"})
WORD_TYPES = frozenset({"ifname", "ct_state", "ct_status", "fib_addrtype", "nf_proto", "ct_dir", "tcp_flag"})

_SERVICES = {"http": 80, "https": 443, "domain": 53, "ssh": 22}
"""Names that nft prints with `-S` only; there are many more, which are not understood."""


class Interval(NamedTuple):
    """Both ends belong to it."""

    first: Scalar
    last: Scalar

    def __contains__(self, value: object) -> bool:
        if type(value) is not type(self.first) or (isinstance(value, bytes) and len(value) != len(self.first)):  # type: ignore[arg-type]
            return False
        return bool(self.first <= value <= self.last)  # type: ignore[operator]


Pattern: TypeAlias = "Scalar | Interval | Network"
"""What one field of a set's element, or the right side of a comparison, may be."""


def read_scalar(value: Any, type_: str) -> Scalar:
    """Read a value of one of nftables' data types.

    Raises:
        NotUnderstoodError: it is none that is known
    """
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise NotUnderstoodError(f"the value {value!r}")
    if type_ in ADDRESS_TYPES:
        address = parse_address(value) if isinstance(value, str) else None
        if address is None:
            raise NotUnderstoodError(f"the address {value!r}")
        return address
    if type_ in NUMBER_TYPES:
        return value if isinstance(value, int) else _number(value, type_)
    if type_ in WORD_TYPES:
        return str(value)
    raise NotUnderstoodError(f"values of type {type_}")


def _number(text: str, type_: str) -> int:
    if type_ == "inet_proto" and text in PROTOCOL_NUMBERS:
        return PROTOCOL_NUMBERS[text]
    if type_ == "inet_service" and text in _SERVICES:
        return _SERVICES[text]
    if type_ == "classid" and (number := _class(text)) is not None:
        return number
    try:
        return int(text, 0)
    except ValueError:
        raise NotUnderstoodError(f"the value {text!r}") from None


def _class(text: str) -> int | None:
    """A traffic class, as tc(8) writes it: `MAJOR:MINOR` in hexadecimal."""
    if text in ("none", "root"):
        return 0 if text == "none" else 0xFFFFFFFF
    major, colon, minor = text.partition(":")
    try:
        return int(major or "0", 16) << 16 | int(minor or "0", 16) if colon else None
    except ValueError:
        return None


def read_pattern(value: Any, type_: str) -> Pattern:
    """Read a value, a prefix or a range.

    Raises:
        NotUnderstoodError: it is none of them
    """
    if not isinstance(value, dict):
        if isinstance(value, str) and type_ == "ifname" and value.endswith("*"):
            stem = value[:-1]
            return Interval(stem, stem + "\U0010ffff")
        return read_scalar(value, type_)
    match value:
        case {"prefix": {"addr": str(address), "len": int(length)}} if type_ in ADDRESS_TYPES:
            network = parse_network(f"{address}/{length}")
            if network is not None:
                return network
        case {"range": [first, last]}:
            return Interval(read_scalar(first, type_), read_scalar(last, type_))
    raise NotUnderstoodError(f"the value {value!r}")


def fits(value: Scalar, pattern: Pattern) -> bool:
    """Whether a field of the packet is what a rule or an element says."""
    return value in pattern if isinstance(pattern, (Interval, Network)) else value == pattern
