"""From the model to what workers forward, and to what the rules should redirect. Pure: no sockets, no clock."""

import itertools
import math
from collections.abc import Sequence

from kproxy.backends.userspace.messages import EndpointAddress, ForwardedPort
from kproxy.services.addresses import Address, Family, format_address
from kproxy.services.balancing import Algorithm
from kproxy.services.model import Endpoint, ServicePort

NUMBER = {Family.IPV4: 4, Family.IPV6: 6}
_MOST_TURNS = 1000
"""Of one round of a Service port's endpoints, where they have weights."""


def forwarded(port: ServicePort, identifier: int) -> ForwardedPort:
    """What workers need to know of a Service port whose connections are redirected to them."""
    return ForwardedPort(
        id=identifier,
        label=f"{port} {port.port}/{port.protocol}",
        protocol=port.protocol,
        family=NUMBER[port.family],
        cluster=turns(port.cluster_endpoints, port.algorithm),
        local=turns(port.local_endpoints, port.algorithm),
        affinity_seconds=port.affinity_seconds,
        by_client=port.algorithm is Algorithm.SOURCE_HASH,
        frontends=tuple(_frontends(port)),
    )


def forwarded_locally(port: ServicePort, identifier: int) -> ForwardedPort:
    """The same for one that has a local port of its own, where clients are the node's own: those of the cluster IP."""
    return ForwardedPort(
        id=identifier,
        label=f"{port} {port.port}/{port.protocol}",
        protocol=port.protocol,
        family=NUMBER[port.family],
        cluster=turns(port.internal_endpoints, port.algorithm),
        local=(),
        affinity_seconds=port.affinity_seconds,
        by_client=port.algorithm is Algorithm.SOURCE_HASH,
        frontends=(),
    )


def turns(endpoints: Sequence[Endpoint], algorithm: Algorithm) -> tuple[EndpointAddress, ...]:
    """Each endpoint once; with weights, as often as its weight says, spread over the round.

    One that weighs nothing gets nothing, unless all weigh nothing.
    """
    addresses = [(format_address(endpoint.address), endpoint.port) for endpoint in endpoints]
    weights = [endpoint.weight for endpoint in endpoints]
    if algorithm is not Algorithm.WEIGHTED or not any(weights):
        return tuple(addresses)
    divisor = math.gcd(*weights)
    scale = min(1.0, _MOST_TURNS * divisor / sum(weights))
    counts = [max(1, round(weight // divisor * scale)) if weight else 0 for weight in weights]
    # The n-th turn of an endpoint with c turns is due at (n + 1/2)/c of the round.
    due = itertools.chain.from_iterable(
        [((turn + 0.5) / count, index) for turn in range(count)] for index, count in enumerate(counts)
    )
    return tuple(addresses[index] for _, index in sorted(due))


def _frontends(port: ServicePort) -> list[bytes]:
    number = port.port.to_bytes(2, "big")
    keys = [address + number for address in dict.fromkeys((port.cluster_ip, *port.external_addresses()))]
    if port.node_port:
        keys.append(port.node_port.to_bytes(2, "big"))
    return keys


def target(family: Family, node_ip: Address | None, present: Sequence[Address]) -> Address:
    """The local address that redirected packets go to.

    The node's own, if an interface has it: every packet that reaches the node can be delivered there, whatever
    interface it came in on. Else another address of the node; without any, the loopback address, which serves
    processes on this node only.

    Args:
        family: of the packets
        node_ip: the node's own address
        present: addresses of this node's interfaces that are valid everywhere
    """
    usable = sorted(a for a in present if len(a) == family.length and not is_loopback(a))
    if node_ip in usable and node_ip is not None:
        return node_ip
    if usable:
        return usable[0]
    return bytes((127, 0, 0, 1)) if family is Family.IPV4 else bytes(15) + b"\x01"


def is_loopback(address: Address) -> bool:
    return address[0] == 127 if len(address) == 4 else address == bytes(15) + b"\x01"
