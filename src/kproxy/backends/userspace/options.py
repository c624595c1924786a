"""What the configuration says about userspace mode."""

import enum
from typing import NamedTuple

import msgspec

from kproxy.services.addresses import Address


class Redirect(enum.Enum):
    """What brings traffic to the proxy."""

    AUTO = "auto"
    """nftables where the kernel has it, else iptables."""
    NFTABLES = "nftables"
    IPTABLES = "iptables"
    NONE = "none"
    """Nothing: clients use the local ports that the proxy binds. Needs no privileges."""


class PortRange(NamedTuple):
    """The local ports that the proxy may bind, both ends included; (0, 0): any that is free."""

    first: int = 0
    last: int = 0

    def __bool__(self) -> bool:
        return self.last > 0


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much one worker process takes on, and for how long."""

    connections: int = 30_000
    """TCP connections at a time; those beyond are reset."""
    flows: int = 10_000
    """UDP clients at a time; a new one beyond takes the place of the one that was silent for longest."""
    affinity_clients: int = 100_000
    """Clients that one Service port remembers; the one that was away for longest is forgotten first."""
    pipes: int = 256
    """Pipes for zero-copy forwarding; streams beyond are copied."""
    pipe_bytes: int = 1 << 18
    """Of each pipe; what one direction of a bulk transfer holds at most, besides the kernel's socket buffers."""
    connect_seconds: float = 2.0
    """How long an endpoint may take to accept a connection before the next one is tried."""
    udp_idle_seconds: float = 10.0
    """How long a UDP client may be silent before its flow is forgotten."""


class UserspaceOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the mode works."""

    redirect: Redirect = Redirect.AUTO
    bind: tuple[Address, ...] = ()
    """Without redirection, the addresses to bind, at most one of each family."""
    port_range: PortRange = PortRange()
    workers: int = 1
    """Processes that share all connections (SO_REUSEPORT)."""
    limits: Limits = Limits()
    localhost_node_ports: bool = True
    """NodePorts answer on 127.0.0.1 as well."""
    masquerade_all: bool = False
    masquerade_mark: int = 1 << 14
