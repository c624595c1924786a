"""Addresses, CIDRs, endpoints and port ranges as a configuration writes them.

The grammar is kube-proxy's: Go's `net.ParseIP`, `net.ParseCIDR` and `net.SplitHostPort`. So a CIDR may carry host
bits (`10.1.2.3/8`), a mask is a prefix length, and zones (`fe80::1%eth0`) are refused. Stricter in one point: octets
with leading zeros, which programs read as decimal or as octal, are refused.
"""

import ipaddress
from dataclasses import dataclass
from typing import TypeAlias

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and a TCP port that a server listens on."""

    address: IPAddress
    port: int

    def __str__(self) -> str:
        """`1.2.3.4:80` or `[::1]:80`."""
        return f"[{self.address}]:{self.port}" if self.address.version == 6 else f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class PortRange:
    """Ports from `first` to `last`, both included; 0 and 0 mean any."""

    first: int
    last: int

    @property
    def unrestricted(self) -> bool:
        """Whether any free port may be taken."""
        return self.last == 0


def parse_address(text: str) -> IPAddress:
    """Read an IPv4 or IPv6 address.

    Raises:
        ValueError: with a message fit for a user.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError("is not an IP address") from None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise ValueError("must not carry a zone")
    return address


def parse_cidr(text: str) -> IPNetwork:
    """Read an address and a prefix length; bits beyond the prefix are dropped.

    Raises:
        ValueError: with a message fit for a user.
    """
    address_text, slash, prefix = text.partition("/")
    if not slash:
        raise ValueError('is not a CIDR such as "10.0.0.0/8" or "fd00::/64": the prefix length is missing')
    try:
        address = parse_address(address_text)
    except ValueError as error:
        raise ValueError(f'is not a CIDR such as "10.0.0.0/8" or "fd00::/64": its address {error}') from None
    if not (prefix.isascii() and prefix.isdecimal() and len(prefix) <= 3 and int(prefix) <= address.max_prefixlen):
        raise ValueError(f"has a prefix length that is not between 0 and {address.max_prefixlen}")
    return ipaddress.ip_network((address, int(prefix)), strict=False)


def parse_endpoint(text: str) -> Endpoint:
    """Read `address:port`, with IPv6 addresses in brackets.

    Raises:
        ValueError: with a message fit for a user.
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or (":" in host and not bracketed):
        raise ValueError('is not "address:port" (IPv6 as "[address]:port")')
    address = parse_address(host[1:-1] if bracketed else host)
    if bracketed and address.version == 4:
        raise ValueError("has brackets, which are for IPv6 addresses")
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and 1 <= int(port) <= _MAX_PORT):
        raise ValueError("has a port that is not between 1 and 65535")
    return Endpoint(address, int(port))


def with_port(text: str, port: int) -> str:
    """Append `port` to a bare IP address; whatever else the text is stays, for validation to judge."""
    try:
        address = parse_address(text)
    except ValueError:
        return text
    return f"[{text}]:{port}" if address.version == 6 else f"{text}:{port}"


def parse_port_range(text: str) -> PortRange:
    """Read `first-last`, `first+count` or a single port; empty, `0` and `0-0` mean any port.

    Raises:
        ValueError: with a message fit for a user.
    """
    if text.strip() in {"", "0", "0-0"}:
        return PortRange(0, 0)
    separator = "-" if "-" in text else "+"
    first_text, found, second_text = text.strip().partition(separator)
    numbers = (first_text, second_text) if found else (first_text,)
    if not all(part.isascii() and part.isdecimal() and len(part) <= 5 for part in numbers):
        raise ValueError('is not a port range such as "30000-32767", "30000+100" or "30000"')
    first = int(first_text)
    last = first if not found else int(second_text) + (first if separator == "+" else 0)
    if not first <= last <= _MAX_PORT:
        raise ValueError("must rise, and stay within 65535")
    return PortRange(first, last)
