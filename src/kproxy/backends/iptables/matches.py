"""Parts of rules, spelt and ordered as iptables-save prints them, so that what is read back can be compared."""

from functools import cache
from typing import NamedTuple

from kproxy.backends.iptables.options import check_interface
from kproxy.services.addresses import Address, Family, format_address
from kproxy.services.local_traffic import LocalTraffic

_MAX_COMMENT = 255
"""XT_MAX_COMMENT_LEN less its NUL (linux/netfilter/xt_comment.h)."""


def comment(words: str) -> str:
    """A comment match.

    Args:
        words: escaped already as far as they come from the API; cut to what the kernel stores

    Raises:
        ValueError: there is a quote, a backslash or a control character in it all the same
    """
    if '"' in words or "\\" in words or not words.isprintable() or not words.isascii():
        raise ValueError(f"{words!r} cannot be a rule's comment")
    return f'-m comment --comment "{words[:_MAX_COMMENT]}"'


def host(address: Address) -> str:
    """An address as a source or destination."""
    return f"{format_address(address)}/{len(address) * 8}"


class FromPods(NamedTuple):
    """The match for packets from local pods; a rule has a source before, and an interface after its destination."""

    source: str
    interface: str

    def with_destination(self, destination: str) -> str:
        return " ".join(part for part in (self.source, destination, self.interface) if part)


def from_pods(local: LocalTraffic, *, inverted: bool = False) -> FromPods | None:
    """The match for packets from local pods, or for all others; None when there is no way to tell.

    Raises:
        ValueError: the interface's name cannot be one
    """
    negation = "! " if inverted else ""
    if local.network:
        return FromPods(f"{negation}-s {local.network}", "")
    if local.interface:
        return FromPods("", f"{negation}-i {check_interface(local.interface)}")
    if local.interface_prefix:
        return FromPods("", f"{negation}-i {check_interface(local.interface_prefix)}+")
    return None


@cache
def one_in(count: int) -> str:
    """A match with probability 1/count.

    The proxy that this one replaces writes ten digits; the kernel keeps a multiple of 2^-31 and prints it
    with eleven (libxt_statistic).
    """
    stored = round(float(f"{1 / count:.10f}") * 2**31)
    return f"-m statistic --mode random --probability {stored / 2**31:.11f}"


def recent_mask(family: Family) -> str:
    """The whole address is the client (xt_recent)."""
    return "255.255.255.255" if family is Family.IPV4 else "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"


def rejection(family: Family) -> str:
    """The target for an address that nobody serves."""
    return f"REJECT --reject-with {'icmp' if family is Family.IPV4 else 'icmp6'}-port-unreachable"
