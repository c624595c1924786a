"""The parts of a `KubeProxyConfiguration` that belong to one proxy mode.

A zero `syncPeriod` or `minSyncPeriod` stands for "not set": `kproxy.config.defaults` gives those of the chosen mode
their value, as kube-proxy does, and leaves the other modes' alone.
"""

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from kproxy.config.duration import Duration
from kproxy.config.sections import Section

MarkBit: TypeAlias = Annotated[int, Meta(ge=0, le=31)]

_SYNC_PERIOD = "How often everything is checked and cleaned up even if nothing changed. 0 means 30s."


class IPTables(Section, frozen=True):
    """Settings of the iptables mode; userspace mode has them too, and ipvs mode the masquerade settings."""

    masquerade_bit: Annotated[
        MarkBit,
        Meta(
            description="The bit of the packet mark that asks for source NAT; for iptables, ipvs and userspace modes."
        ),
    ] = 14
    masquerade_all: Annotated[
        bool,
        Meta(description="Source-NAT all traffic to cluster IPs; for iptables, ipvs and userspace modes."),
    ] = False
    localhost_node_ports: Annotated[
        bool,
        Meta(description="Serve NodePorts on 127.0.0.1 as well; for iptables mode, IPv4 only, and userspace mode."),
    ] = True
    sync_period: Annotated[Duration, Meta(description=_SYNC_PERIOD)] = Duration()
    min_sync_period: Annotated[
        Duration,
        Meta(description="The least time between two updates of the rules. 0 means 1s."),
    ] = Duration()


class IPVS(Section, frozen=True):
    """Settings of the ipvs mode."""

    sync_period: Annotated[Duration, Meta(description=_SYNC_PERIOD)] = Duration()
    min_sync_period: Annotated[
        Duration,
        Meta(description="The least time between two updates of the virtual servers. 0 means none."),
    ] = Duration()
    scheduler: Annotated[str, Meta(description="The IPVS scheduler, such as rr, lc or sh. Empty means rr.")] = ""
    exclude_cidrs: Annotated[
        tuple[str, ...] | None,
        Meta(description="Virtual servers whose address is in one of these CIDRs are not ours and never removed."),
    ] = msgspec.field(default=None, name="excludeCIDRs")
    strict_arp: Annotated[
        bool,
        Meta(description="Do not answer ARP for addresses of kube-ipvs0 (arp_ignore=1, arp_announce=2)."),
    ] = msgspec.field(default=False, name="strictARP")
    tcp_timeout: Annotated[
        Duration, Meta(description="How long an idle TCP connection is kept; 0 leaves the system's value.")
    ] = Duration()
    tcp_fin_timeout: Annotated[
        Duration,
        Meta(description="How long a TCP connection is kept after a FIN; 0 leaves the system's value."),
    ] = Duration()
    udp_timeout: Annotated[
        Duration, Meta(description="How long an idle UDP flow is kept; 0 leaves the system's value.")
    ] = Duration()


class NFTables(Section, frozen=True):
    """Settings of the nftables mode."""

    masquerade_bit: Annotated[
        MarkBit, Meta(description="The bit of the packet mark that asks for source NAT in nftables mode.")
    ] = 14
    masquerade_all: Annotated[bool, Meta(description="Source-NAT all traffic to cluster IPs in nftables mode.")] = False
    sync_period: Annotated[Duration, Meta(description=_SYNC_PERIOD)] = Duration()
    min_sync_period: Annotated[
        Duration,
        Meta(description="The least time between two transactions. 0 means none."),
    ] = Duration()
