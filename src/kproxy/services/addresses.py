"""IP addresses as the kernel wants them: packed bytes in network order, 4 for IPv4 and 16 for IPv6."""

import enum
import ipaddress
import socket
from typing import NamedTuple, TypeAlias

Address: TypeAlias = bytes
"""A packed address; its length tells the family."""

_MAPPED_PREFIX = bytes(10) + b"\xff\xff"


class Family(enum.Enum):
    """An IP family, named as `Service.spec.ipFamilies` and the metrics' `ip_family` label name it."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"

    @property
    def length(self) -> int:
        """Bytes in an address."""
        return 4 if self is Family.IPV4 else 16

    @staticmethod
    def of(address: Address) -> "Family":
        return Family.IPV4 if len(address) == 4 else Family.IPV6


class Network(NamedTuple):
    """A CIDR: the network's address with the host bits cleared, and the prefix length in bits."""

    address: Address
    prefix_length: int

    def __str__(self) -> str:
        return f"{format_address(self.address)}/{self.prefix_length}"

    def __contains__(self, address: object) -> bool:
        if not isinstance(address, bytes) or len(address) != len(self.address):
            return False
        shift = len(address) * 8 - self.prefix_length
        return int.from_bytes(address, "big") >> shift == int.from_bytes(self.address, "big") >> shift


def parse_address(text: str) -> Address | None:
    """Pack an address, or None when the text is none.

    As Kubernetes does, it takes IPv4 octets with leading zeros as decimal (old objects have them) and an
    IPv4-mapped IPv6 address as the IPv4 address.
    """
    try:
        if ":" not in text:
            return socket.inet_pton(socket.AF_INET, text)
        packed = socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError):
        return _parse_padded_octets(text)
    return packed[12:] if packed.startswith(_MAPPED_PREFIX) else packed


def _parse_padded_octets(text: str) -> Address | None:
    octets = text.split(".")
    if len(octets) != 4 or not all(o.isascii() and o.isdigit() and len(o) <= 3 and int(o) < 256 for o in octets):
        return None
    return bytes(int(o) for o in octets)


def format_address(address: Address) -> str:
    """Write a packed address in its canonical text form (RFC 5952 for IPv6)."""
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)


def parse_network(text: str) -> Network | None:
    """Read a CIDR (host bits are cleared, spaces around it ignored), or None when the text is none."""
    address_text, slash, length_text = text.strip().partition("/")
    address = parse_address(address_text)
    if address is None or not slash or not length_text.isascii() or not length_text.isdigit():
        return None
    bits, length = len(address) * 8, int(length_text)
    if length > bits:
        return None
    mask = (1 << bits) - (1 << (bits - length))
    return Network((int.from_bytes(address, "big") & mask).to_bytes(len(address), "big"), length)


def collapse(networks: list[Network]) -> list[Network]:
    """Merge networks of one family until none overlaps or adjoins another, in address order."""
    nets = (ipaddress.ip_network((n.address, n.prefix_length)) for n in networks)
    merged = ipaddress.collapse_addresses(nets)  # type: ignore[type-var]
    return [Network(n.network_address.packed, n.prefixlen) for n in merged]
