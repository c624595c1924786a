"""Session affinity as many clients see it, with and without changes in between."""

import asyncio
from collections.abc import Iterator
from ipaddress import ip_interface

import pytest

from kproxy.lab.lab import Lab
from kproxy.lab.probe import Client, Result, Transport, probe
from kproxy.lab.topology import EXTERNAL
from kproxy.lab.wiring import UPLINK, set_address
from tests.packets.node_proxy import NodeProxy
from tests.packets.web import CLUSTER_IPS, EVERY_POD, EXTERNAL_IP, NODE_PORT, slices, web

pytestmark = pytest.mark.root

CLIENTS = 60
"""Enough that all get their old endpoint of four by chance once in 10^36 times."""
NODE_ADDRESSES = {4: "192.168.77.2", 6: "fd00:77::2"}
EVERY_KIND = [
    (CLUSTER_IPS[4], 80), (CLUSTER_IPS[6], 80), (EXTERNAL_IP, 80), (NODE_ADDRESSES[4], NODE_PORT),
    (NODE_ADDRESSES[6], NODE_PORT),
]  # fmt: skip


class Crowd:
    """Clients outside the cluster, each with an address of its own in each family."""

    def __init__(self, lab: Lab) -> None:
        namespace = lab.namespace(EXTERNAL.name)
        self._clients: dict[int, list[Client]] = {4: [], 6: []}
        for number in range(CLIENTS):
            for text in (f"192.168.77.{101 + number}/24", f"fd00:77::1:{number:x}/64"):
                interface = ip_interface(text)
                set_address(namespace, interface, UPLINK, present=True)
                self._clients[interface.version].append(Client(namespace, str(interface.ip)))

    async def ask(self, transport: Transport, address: str, port: int) -> list[str]:
        """Who answers each of the clients, in their order."""
        clients = self._clients[6 if ":" in address else 4]
        outcomes = await asyncio.gather(*(probe(client, transport, address, port, 3.0) for client in clients))
        assert {outcome.result for outcome in outcomes} == {Result.OK}
        return [outcome.pod or "" for outcome in outcomes]


@pytest.fixture
def crowd(lab: Lab) -> Crowd:
    return Crowd(lab)


@pytest.fixture
def proxy(lab: Lab) -> Iterator[NodeProxy]:
    with NodeProxy(lab, [web(sessionAffinity="ClientIP"), *slices(EVERY_POD)]) as running:
        yield running


def sticky(seconds: int) -> dict[str, object]:
    config = {"clientIP": {"timeoutSeconds": seconds}}
    return {"sessionAffinity": "ClientIP", "sessionAffinityConfig": config}


@pytest.mark.parametrize("transport", ["TCP", "UDP"])
@pytest.mark.parametrize(("address", "port"), EVERY_KIND)
async def test_clients_stay_until_their_endpoint_goes(
    crowd: Crowd, proxy: NodeProxy, transport: Transport, address: str, port: int
) -> None:
    first = await crowd.ask(transport, address, port)
    assert set(first) == set(EVERY_POD)
    assert await crowd.ask(transport, address, port) == first

    proxy.apply(*slices(["pod-a", "pod-c", "pod-d"]))
    without_b = await crowd.ask(transport, address, port)
    assert [pod for pod, before in zip(without_b, first, strict=True) if before != "pod-b"] == [
        pod for pod in first if pod != "pod-b"
    ]
    moved = {pod for pod, before in zip(without_b, first, strict=True) if before == "pod-b"}
    assert moved <= {"pod-a", "pod-c", "pod-d"}

    proxy.apply(*slices(EVERY_POD))
    assert await crowd.ask(transport, address, port) == without_b

    proxy.restart()
    assert await crowd.ask(transport, address, port) == without_b


async def test_who_does_not_come_back_in_time_is_forgotten(crowd: Crowd, lab: Lab) -> None:
    with NodeProxy(lab, [web(**sticky(1)), *slices(EVERY_POD)]):
        first = await crowd.ask("TCP", CLUSTER_IPS[4], 80)
        await asyncio.sleep(1.5)
        assert await crowd.ask("TCP", CLUSTER_IPS[4], 80) != first


@pytest.mark.parametrize("transport", ["TCP", "UDP"])
async def test_every_new_connection_counts_as_coming_back(crowd: Crowd, lab: Lab, transport: Transport) -> None:
    with NodeProxy(lab, [web(**sticky(2)), *slices(EVERY_POD)]):
        first = await crowd.ask(transport, CLUSTER_IPS[6], 80)
        for _ in range(5):
            await asyncio.sleep(0.6)
            assert await crowd.ask(transport, CLUSTER_IPS[6], 80) == first


async def test_another_timeout_moves_nobody(crowd: Crowd, proxy: NodeProxy) -> None:
    first = await crowd.ask("TCP", EXTERNAL_IP, 80)
    proxy.apply(web(**sticky(600)))
    assert await crowd.ask("TCP", EXTERNAL_IP, 80) == first
