"""The first packet of a connection, as rules see it, and what they have done to it so far."""

import enum

import msgspec

from kproxy.services.addresses import Address, Family, format_address
from kproxy.services.objects import Protocol

PROTOCOL_NUMBERS: dict[str, int] = {"tcp": 6, "udp": 17, "sctp": 132, "icmp": 1, "icmpv6": 58, "ipv6-icmp": 58}
"""What rule languages call the protocols (IANA)."""


class Hook(enum.Enum):
    """Where netfilter asks the rules (linux/netfilter.h)."""

    PREROUTING = "prerouting"
    INPUT = "input"
    FORWARD = "forward"
    OUTPUT = "output"
    POSTROUTING = "postrouting"


class Packet(msgspec.Struct, frozen=True, kw_only=True):
    """A packet of a connection that connection tracking does not know yet."""

    source: Address
    destination: Address
    protocol: Protocol
    port: int
    """The destination port."""
    source_port: int | None = None
    """None: unknown; a rule that asks for it is not understood."""
    input_interface: str | None = None
    """Empty: sent by a process of this node. None: unknown."""
    output_interface: str | None = None
    """Empty: not known to the hook. None: unknown."""
    bridged: bool | None = None
    """It came in by a port of a bridge, and bridges ask netfilter too. None: unknown."""
    by_bridge: bool = False
    """It came in by a bridge, where ports may be kept apart so that neighbours, too, go by way of the node."""
    mark: int = 0
    priority: int = 0
    redirected: bool = False
    """Its destination has been translated."""
    masquerade: bool = False
    """Its source becomes the address of the interface that it leaves by."""
    new_source: Address | None = None
    """What its source becomes, where a rule says so."""
    destination_settled: bool = False
    """NAT has decided about the destination; no later NAT chain is asked (nf_nat_initialized)."""
    source_settled: bool = False
    by_ipvs: bool = False
    """IPVS has chosen the destination."""

    @property
    def family(self) -> Family:
        return Family.of(self.destination)

    @property
    def destination_translated(self) -> bool:
        """Connection tracking knows of it; of what IPVS does it does not."""
        return self.redirected and not self.by_ipvs

    @property
    def source_translated(self) -> bool:
        return self.masquerade or self.new_source is not None

    def __str__(self) -> str:
        return f"{format_address(self.source)} to {format_endpoint(self.destination, self.port)}/{self.protocol}"


def format_endpoint(address: Address, port: int) -> str:
    """An address and a port as text, IPv6 addresses in brackets."""
    text = format_address(address)
    return f"[{text}]:{port}" if len(address) == 16 else f"{text}:{port}"
