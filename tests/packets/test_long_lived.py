"""Connections that are there already, while Services change and the proxy comes and goes."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

import pytest

from kproxy.lab.api_objects import ApiObjects, serve_api
from kproxy.lab.kubernetes_objects import Manifest, ServiceDefinition, endpoint_slices, nodes, service
from kproxy.lab.lab import Lab
from kproxy.lab.probe import Flow, Transport
from kproxy.lab.proxy import Proxy, configuration, run_proxy
from kproxy.lab.runner import DEFAULT_PROXY
from kproxy.lab.topology import NODE
from tests.lab.nft import run_nft

pytestmark = pytest.mark.root

CLUSTER_IP, CLUSTER_IP6 = "10.96.61.1", "fd00:10:96::6101"
SPEC = {
    "type": "NodePort",
    "clusterIP": CLUSTER_IP,
    "clusterIPs": [CLUSTER_IP, CLUSTER_IP6],
    "ipFamilyPolicy": "RequireDualStack",
    "ports": [
        {"name": "tcp", "port": 80, "targetPort": 8080, "nodePort": 32510},
        {"name": "udp", "port": 80, "targetPort": 8080, "nodePort": 32510, "protocol": "UDP"},
    ],
}


def manifests(*pods: str) -> list[Manifest]:
    definition = ServiceDefinition(spec=SPEC, slices=[list(pods)])
    return [service("web", definition), *endpoint_slices("web", definition)]


class Flows:
    """Long-lived flows from everywhere to every kind of address."""

    def __init__(self, lab: Lab, transports: Sequence[Transport] = ("TCP", "UDP")) -> None:
        addresses = [(CLUSTER_IP, 80), (CLUSTER_IP6, 80), ("192.168.77.2", 32510), ("fd00:77::2", 32510)]
        self._flows: list[Flow] = [
            lab.flow(client, transport, address, port)
            for client in ("pod-x", "node", "ext")
            for transport in transports
            for address, port in addresses
        ]

    async def ask(self) -> list[str | None]:
        return [outcome.pod for outcome in await asyncio.gather(*(flow.ask() for flow in self._flows))]

    def close(self) -> None:
        for flow in self._flows:
            flow.close()


@pytest.fixture
async def api(lab: Lab) -> AsyncIterator[ApiObjects]:
    lab.patience = 3.0
    async with serve_api(lab) as served:
        for manifest in (*nodes(), *manifests("pod-a", "pod-c")):
            served.apply(manifest)
        yield served


async def change(api: ApiObjects, proxy: Proxy, *pods: str) -> None:
    changed = time.time()
    for manifest in manifests(*pods):
        api.apply(manifest)
    await proxy.synced(changed)


async def test_flows_survive_changes_a_crash_and_a_lost_table(lab: Lab, api: ApiObjects) -> None:
    settings = configuration("nftables")
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(run_proxy(lab, DEFAULT_PROXY["api"], settings, api.server))
        flows = Flows(lab)
        stack.callback(flows.close)
        pods = await flows.ask()
        assert set(pods) == {"pod-a", "pod-c"}

        await change(api, proxy, "pod-a", "pod-b", "pod-c", "pod-d")
        assert await flows.ask() == pods

        proxy.process.send_signal(signal.SIGKILL)
        await proxy.process.wait()
        assert await flows.ask() == pods
        assert (await lab.probe("ext", "TCP", CLUSTER_IP, 80)).pod, "new connections are served meanwhile"
        proxy = await stack.enter_async_context(run_proxy(lab, DEFAULT_PROXY["api"], settings, api.server))
        assert await flows.ask() == pods

        tampered = time.time()
        run_nft(lab.namespace(NODE.name), "delete table ip kube-proxy; delete table ip6 kube-proxy")
        await proxy.synced(tampered, which=min)
        assert await flows.ask() == pods
        sample = await lab.sample("pod-x", "TCP", CLUSTER_IP6, 80, 100)
        assert sample.pods.keys() == {"pod-a", "pod-b", "pod-c", "pod-d"}


async def test_udp_leaves_an_endpoint_that_goes(lab: Lab, api: ApiObjects) -> None:
    """UDP has no end: its packets would follow the old translation for as long as they come."""
    async with run_proxy(lab, DEFAULT_PROXY["api"], configuration("nftables"), api.server) as proxy:
        flows = Flows(lab, ["UDP"])
        try:
            await flows.ask()
            await change(api, proxy, "pod-b")
            async with asyncio.timeout(5):
                while set(await flows.ask()) != {"pod-b"}:
                    pass
        finally:
            flows.close()


async def test_tcp_outlives_its_endpoint_in_the_service(lab: Lab, api: ApiObjects) -> None:
    """A pod that is taken out of the Service finishes what it has begun; only new connections go elsewhere."""
    async with run_proxy(lab, DEFAULT_PROXY["api"], configuration("nftables"), api.server) as proxy:
        with lab.flow("ext", "TCP", CLUSTER_IP, 80) as flow:
            pod = (await flow.ask()).pod
            other = "pod-c" if pod == "pod-a" else "pod-a"
            await change(api, proxy, other)
            assert (await flow.ask()).pod == pod
            assert (await lab.sample("ext", "TCP", CLUSTER_IP, 80, 30)).pods.keys() == {other}
