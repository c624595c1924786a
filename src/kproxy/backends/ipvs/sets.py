"""The ipsets of the mode, by the names that kube-proxy gave them and that other programs look for."""

import enum

from kproxy.kernel.ipset.elements import SetSpecification, SetType
from kproxy.services.addresses import Family

_MAX_NAME = 31


class SetName(enum.StrEnum):
    """The sets; the value is the name for IPv4."""

    CLUSTER_IP = "KUBE-CLUSTER-IP"
    EXTERNAL_IP = "KUBE-EXTERNAL-IP"
    EXTERNAL_IP_LOCAL = "KUBE-EXTERNAL-IP-LOCAL"
    LOAD_BALANCER = "KUBE-LOAD-BALANCER"
    LOAD_BALANCER_LOCAL = "KUBE-LOAD-BALANCER-LOCAL"
    LOAD_BALANCER_FIREWALL = "KUBE-LOAD-BALANCER-FW"
    """Load balancer addresses with source ranges; the next two admit sources to them."""
    SOURCE_CIDR = "KUBE-LOAD-BALANCER-SOURCE-CIDR"
    SOURCE_IP = "KUBE-LOAD-BALANCER-SOURCE-IP"
    NODE_PORT_TCP = "KUBE-NODE-PORT-TCP"
    NODE_PORT_LOCAL_TCP = "KUBE-NODE-PORT-LOCAL-TCP"
    NODE_PORT_UDP = "KUBE-NODE-PORT-UDP"
    NODE_PORT_LOCAL_UDP = "KUBE-NODE-PORT-LOCAL-UDP"
    NODE_PORT_SCTP = "KUBE-NODE-PORT-SCTP-HASH"
    NODE_PORT_LOCAL_SCTP = "KUBE-NODE-PORT-LOCAL-SCTP-HASH"
    LOOP_BACK = "KUBE-LOOP-BACK"
    """Local endpoints, for packets from one to itself by way of a Service."""
    HEALTH_CHECK_NODE_PORT = "KUBE-HEALTH-CHECK-NODE-PORT"
    IPVS_IPS = "KUBE-IPVS-IPS"
    """Every address on the dummy interface, whose ports without a Service reject."""


_TYPES = {
    SetName.SOURCE_CIDR: SetType.IP_PORT_NET,
    SetName.SOURCE_IP: SetType.IP_PORT_IP,
    SetName.LOOP_BACK: SetType.IP_PORT_IP,
    SetName.IPVS_IPS: SetType.IP,
    SetName.NODE_PORT_TCP: SetType.PORT,
    SetName.NODE_PORT_LOCAL_TCP: SetType.PORT,
    SetName.NODE_PORT_UDP: SetType.PORT,
    SetName.NODE_PORT_LOCAL_UDP: SetType.PORT,
    SetName.HEALTH_CHECK_NODE_PORT: SetType.PORT,
}


def set_name(name: SetName, family: Family) -> str:
    """The name in one family; the kernel has room for 31 bytes, so some of IPv6 are cut."""
    return name.value if family is Family.IPV4 else name.value.replace("KUBE-", "KUBE-6-", 1)[:_MAX_NAME]


def specification(name: SetName, family: Family) -> SetSpecification:
    return SetSpecification(set_name(name, family), _TYPES.get(name, SetType.IP_PORT), family)


def specifications(family: Family) -> dict[SetName, SetSpecification]:
    return {name: specification(name, family) for name in SetName}
