"""Endpoint changes at a steady rate, whatever the proxy makes of them: when the kernel has each one."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from typing import NamedTuple

from kproxy.apiserver import Store
from kproxy.bench import cluster
from kproxy.bench.cluster import Size
from kproxy.kernel.netlink import NETLINK_NETFILTER, NetlinkSocket, messages
from kproxy.kernel.nftnl.protocol import MULTICAST_GROUP, NEWSETELEM, SUBSYSTEM
from kproxy.lab.load import quantile
from kproxy.lab.namespaces import Namespace
from kproxy.lab.probe import now

_PATIENCE = 30.0
_OFFSET = 1 << 20
"""Beyond the addresses that other measurements give to endpoints."""
_NEW_ELEMENT = SUBSYSTEM << 8 | NEWSETELEM


class Churn(NamedTuple):
    """Seconds from the API server's write of a change to the kernel's notice of the element that carries it."""

    rate: float
    """Changes per second, as they were written."""
    changes: int
    median: float
    p99: float
    slowest: float


async def measure(store: Store, size: Size, namespace: Namespace, *, rate: float, seconds: float) -> Churn:
    """Change one endpoint after the other; the proxy runs already, and has synced.

    Args:
        store: of the API server that the proxy follows
        size: of the cluster
        namespace: the node's
        rate: changes per second
        seconds: how long

    Raises:
        TimeoutError: the kernel did not get them all
    """
    count = int(rate * seconds)
    outstanding: dict[bytes, float] = {}
    latencies: list[float] = []
    done = asyncio.Event()

    def arrived(body: bytes) -> None:
        at = now()
        found = [address for address in outstanding if address in body]
        latencies.extend(at - outstanding.pop(address) for address in found)
        if len(latencies) == count:
            done.set()

    with _new_elements(namespace, arrived):
        begin = due = now()
        for number in range(1, count + 1):
            slice_ = cluster.endpoint_slices(number * 7919 % size.services, size.endpoints, offset=_OFFSET + number)[-1]
            address = IPv4Address(slice_["endpoints"][-1]["addresses"][0]).packed
            outstanding[address] = now()
            store.apply(slice_)
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - now()))
        written = now() - begin
        async with asyncio.timeout(_PATIENCE):
            await done.wait()
    return Churn(count / written, count, quantile(latencies, 0.5), quantile(latencies, 0.99), max(latencies))


@contextlib.contextmanager
def _new_elements(namespace: Namespace, arrived: Callable[[bytes], None]) -> Iterator[None]:
    """Call back with each message about elements that were added to a set or map of the namespace."""
    netlink = namespace.run(lambda: NetlinkSocket(NETLINK_NETFILTER))
    netlink.join(MULTICAST_GROUP)
    loop = asyncio.get_running_loop()

    def read() -> None:
        while (datagram := netlink.receive(wait=False)) is not None:
            for message in messages(datagram):
                if message.type == _NEW_ELEMENT:
                    arrived(bytes(message.body))

    loop.add_reader(netlink.fileno(), read)
    try:
        yield
    finally:
        loop.remove_reader(netlink.fileno())
        netlink.close()
