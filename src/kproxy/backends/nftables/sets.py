"""The sets and maps of our table: what they are keyed by and what they hold."""

import enum
import functools
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from kproxy.backends.nftables.statements import (
    ADDRESS,
    CLASSID,
    INET_PROTO,
    INET_SERVICE,
    MARK,
    VERDICT,
    DataType,
)
from kproxy.kernel.nftnl.elements import ElementLayout
from kproxy.kernel.nftnl.protocol import (
    SET_F_CONCATENATION,
    SET_F_EVAL,
    SET_F_INTERVAL,
    SET_F_MAP,
    SET_F_TIMEOUT,
    VERDICT_DATA_TYPE,
    SetAttributes,
)
from kproxy.services.addresses import Family

MAX_CLIENTS = 1 << 19
"""Clients that an affinity map remembers at most; a client beyond is balanced anew with each connection."""


_SMALLEST = 1024
_REMEMBERED = 1024
"""Declarations; timeouts of session affinity, each with one of its own, come and go."""


class SetName(enum.StrEnum):
    """Every set and map, the ones that change most first: the kernel finds a set by walking their list."""

    SERVICE_ENDPOINTS = "service-endpoints"
    SERVICE_PORTS = "service-ports"
    NODEPORT_ENDPOINTS = "nodeport-endpoints"
    NODEPORTS = "nodeports"
    SERVICE_LOCAL_ENDPOINTS = "service-local-endpoints"
    SERVICE_LOCAL_PORTS = "service-local-ports"
    NODEPORT_LOCAL_ENDPOINTS = "nodeport-local-endpoints"
    NODEPORT_LOCAL_PORTS = "nodeport-local-ports"
    LOCAL_POLICY_SERVICES = "local-policy-services"
    LOCAL_POLICY_NODEPORTS = "local-policy-nodeports"
    REJECTED_SERVICES = "rejected-services"
    REJECTED_NODEPORTS = "rejected-nodeports"
    DROPPED_SERVICES = "dropped-services"
    DROPPED_NODEPORTS = "dropped-nodeports"
    CLUSTER_IPS = "cluster-ips"
    EXTERNAL_IPS = "external-ips"
    LOCAL_ENDPOINT_IPS = "local-endpoint-ips"
    FIREWALLED_SERVICES = "firewalled-services"
    ALLOWED_SOURCES = "allowed-sources"
    NODEPORT_IPS = "nodeport-ips"
    STICKY_SERVICES = "sticky-services"
    STICKY_NODEPORTS = "sticky-nodeports"
    SERVICE_PICKS = "service-picks"
    SERVICE_LOCAL_PICKS = "service-local-picks"
    NODEPORT_PICKS = "nodeport-picks"
    NODEPORT_LOCAL_PICKS = "nodeport-local-picks"
    SERVICE_AFFINITY = "service-affinity"
    NODEPORT_AFFINITY = "nodeport-affinity"
    BALANCERS = "balancers"

    __hash__ = str.__hash__  # enum's own is written in Python, and these are keys on the hot path


class SetDeclaration(msgspec.Struct, frozen=True):
    """A set or map as both `nft` and the kernel describe it."""

    name: str
    key: tuple[DataType, ...]
    data: tuple[DataType, ...]
    comment: str
    ranges: bool = False
    """The key's last field is a range."""
    shared: bool = False
    """Several Services may need the same element; it stays until the last one lets go."""
    learned: bool = False
    """The packet path fills it, and forgets what has not been used for a while; it is not ours to compare."""

    @property
    def is_verdict_map(self) -> bool:
        return self.data == (VERDICT,)

    @property
    def layout(self) -> ElementLayout:
        return _layout(self.key, self.data, self.ranges)

    @property
    def fields(self) -> Sequence[int]:
        """Lengths of the key's fields."""
        return [type_.length for type_ in self.key]

    @property
    def attributes(self) -> SetAttributes:
        flags = SET_F_MAP if self.data else 0
        if len(self.key) > 1:
            flags |= SET_F_CONCATENATION
        if self.ranges:
            flags |= SET_F_INTERVAL
        if self.learned:
            flags |= SET_F_EVAL | SET_F_TIMEOUT
        data_type = VERDICT_DATA_TYPE if self.is_verdict_map else _type_number(self.data)
        return SetAttributes(flags, _type_number(self.key), _length(self.key), data_type, _length(self.data))

    def size(self, elements: int) -> int:
        """How many elements it may hold when it is made for so many; 0: no limit.

        For a set with a limit the kernel takes a hash table of fixed size. One without grows while it is filled,
        which takes longer, much longer when a busy machine keeps the kernel's worker from growing it, and a dump
        meanwhile misses elements. The limit leaves room to double.
        """
        if self.learned:
            return MAX_CLIENTS
        if self.ranges or self.is_verdict_map:
            return 0
        return max(_SMALLEST, 1 << (2 * elements - 1).bit_length()) if elements else _SMALLEST

    @property
    def userdata(self) -> bytes:
        """Byte orders and comment, for `nft` (libnftnl's enum nftnl_udata_set_types)."""
        key_byte_order, data_byte_order, comment, host_endian = 0, 1, 7, 1
        order = bytes((4,)) + host_endian.to_bytes(4, "little")
        encoded = b""
        if self.key == (CLASSID,):
            encoded += bytes((key_byte_order,)) + order
        if self.data == (CLASSID,):
            encoded += bytes((data_byte_order,)) + order
        words = self.comment.encode() + b"\0"
        return encoded + bytes((comment, len(words))) + words


@functools.cache
def _layout(key: tuple[DataType, ...], data: tuple[DataType, ...], ranges: bool) -> ElementLayout:
    return ElementLayout(_length(key), _length(data), ranges=ranges)


def _length(types: Sequence[DataType]) -> int:
    """Bytes in registers, where each field of a concatenation starts at a multiple of four."""
    if len(types) == 1:
        return types[0].length
    return sum((type_.length + 3) // 4 * 4 for type_ in types)


def _type_number(types: Sequence[DataType]) -> int:
    """A concatenation's number has six bits for each field."""
    number = 0
    for type_ in types:
        number = number << 6 | type_.number
    return number


@functools.cache
def declarations(family: Family) -> tuple[SetDeclaration, ...]:
    """All sets of a family's table, in the order in which they are created."""
    address = ADDRESS[family]
    service = (address, INET_PROTO, INET_SERVICE)
    node_port = (INET_PROTO, INET_SERVICE)
    endpoint = (address, INET_SERVICE)
    balancer = slot = (CLASSID,)
    return (
        SetDeclaration(SetName.SERVICE_ENDPOINTS, (*service, MARK), endpoint, "endpoints of Services, by slot"),
        SetDeclaration(SetName.SERVICE_PORTS, service, balancer, "how traffic to Service addresses is balanced"),
        SetDeclaration(SetName.NODEPORT_ENDPOINTS, (*node_port, MARK), endpoint, "endpoints of NodePorts, by slot"),
        SetDeclaration(SetName.NODEPORTS, node_port, balancer, "how traffic to NodePorts is balanced"),
        SetDeclaration(
            SetName.SERVICE_LOCAL_ENDPOINTS, (*service, MARK), endpoint, "endpoints under externalTrafficPolicy Local"
        ),
        SetDeclaration(SetName.SERVICE_LOCAL_PORTS, service, balancer, "balancing under externalTrafficPolicy Local"),
        SetDeclaration(
            SetName.NODEPORT_LOCAL_ENDPOINTS,
            (*node_port, MARK),
            endpoint,
            "endpoints under externalTrafficPolicy Local",
        ),
        SetDeclaration(
            SetName.NODEPORT_LOCAL_PORTS, node_port, balancer, "balancing under externalTrafficPolicy Local"
        ),
        SetDeclaration(SetName.LOCAL_POLICY_SERVICES, service, (), "addresses with externalTrafficPolicy Local"),
        SetDeclaration(SetName.LOCAL_POLICY_NODEPORTS, node_port, (), "NodePorts with externalTrafficPolicy Local"),
        SetDeclaration(SetName.REJECTED_SERVICES, service, (), "Services without endpoints"),
        SetDeclaration(SetName.REJECTED_NODEPORTS, node_port, (), "NodePorts of Services without endpoints"),
        SetDeclaration(SetName.DROPPED_SERVICES, service, (), "traffic policy Local without local endpoints"),
        SetDeclaration(SetName.DROPPED_NODEPORTS, node_port, (), "traffic policy Local without local endpoints"),
        SetDeclaration(SetName.CLUSTER_IPS, (address,), (), "active ClusterIPs", shared=True),
        SetDeclaration(SetName.EXTERNAL_IPS, (address,), (), "active external and load balancer IPs", shared=True),
        SetDeclaration(SetName.LOCAL_ENDPOINT_IPS, (address, address), (), "hairpin connections", shared=True),
        SetDeclaration(SetName.FIREWALLED_SERVICES, service, (), "load balancer IPs with loadBalancerSourceRanges"),
        SetDeclaration(
            SetName.ALLOWED_SOURCES, (*service, address), (), "sources that load balancer IPs accept", ranges=True
        ),
        SetDeclaration(SetName.NODEPORT_IPS, (address,), (), "IPs that accept NodePort traffic"),
        SetDeclaration(SetName.STICKY_SERVICES, service, (), "addresses with session affinity"),
        SetDeclaration(SetName.STICKY_NODEPORTS, node_port, (), "NodePorts with session affinity"),
        SetDeclaration(SetName.SERVICE_PICKS, (*service, MARK), slot, "slots that a new client may get"),
        SetDeclaration(SetName.SERVICE_LOCAL_PICKS, (*service, MARK), slot, "slots that a new client may get"),
        SetDeclaration(SetName.NODEPORT_PICKS, (*node_port, MARK), slot, "slots that a new client may get"),
        SetDeclaration(SetName.NODEPORT_LOCAL_PICKS, (*node_port, MARK), slot, "slots that a new client may get"),
        SetDeclaration(
            SetName.SERVICE_AFFINITY, (address, *service), slot, "which client has which slot", learned=True
        ),
        SetDeclaration(
            SetName.NODEPORT_AFFINITY, (address, *node_port), slot, "which client has which slot", learned=True
        ),
        SetDeclaration(SetName.BALANCERS, (CLASSID,), (VERDICT,), "one chain for each number of endpoints"),
    )


@functools.lru_cache(_REMEMBERED)
def declaration(family: Family, name: str) -> SetDeclaration:
    """The set of that name; one for each timeout of session affinity is there when it is needed."""
    if (timeout := StickyTimeout.parse(name)) is not None:
        kind = SetName.STICKY_SERVICES if timeout.set == SetName.STICKY_SERVICES else SetName.STICKY_NODEPORTS
        comment = f"those whose clients are forgotten after {timeout.seconds} s"
        return SetDeclaration(name, declaration(family, kind).key, (), comment)
    return next(d for d in declarations(family) if d.name == name)


class StickyTimeout(NamedTuple):
    """Destinations that share a timeout of session affinity; they have a set and a rule in common."""

    set: SetName
    """Of which it is a part: `STICKY_SERVICES` or `STICKY_NODEPORTS`."""
    seconds: int

    @property
    def name(self) -> str:
        return f"{self.set.value}-{self.seconds}"

    @property
    def chain(self) -> str:
        """Where its rule is."""
        return "service-remember" if self.set is SetName.STICKY_SERVICES else "nodeport-remember"

    @staticmethod
    def parse(name: str) -> "StickyTimeout | None":
        """None for the name of any other set."""
        for kind in (SetName.STICKY_SERVICES, SetName.STICKY_NODEPORTS):
            seconds = name.removeprefix(f"{kind.value}-")
            if seconds != name and seconds.isdecimal():
                return StickyTimeout(kind, int(seconds))
        return None
