"""Starts, ends, takeovers and reloads of a proxy while connections come in: nobody notices."""

import asyncio
import signal
from functools import partial

import pytest

from kproxy.lab.kubernetes_objects import Manifest
from kproxy.lab.proxy import Proxy, configuration, run_proxy
from kproxy.lab.topology import NODE
from tests.reliability.relay import Relay
from tests.reliability.served_lab import KUBE_PROXY, ServedLab, Traffic, reconfigure, report

pytestmark = pytest.mark.root

MODES = ("nftables", "iptables")


async def test_the_traffic_would_tell(served: ServedLab) -> None:
    """A node without rules for a moment is what the other tests would have to see."""
    async with served.proxy("nftables"):
        pass
    traffic = Traffic(served)
    async with traffic.flowing():
        served.run("nft", "delete", "table", "ip", "kube-proxy")
        await asyncio.sleep(0.2)
        async with served.proxy("nftables"):
            pass
    assert traffic.resent, "SYNs to the cluster IP led nowhere"
    with pytest.raises(AssertionError, match="rejected"):
        traffic.check()


@pytest.mark.parametrize("mode", MODES)
async def test_ended_killed_and_replaced(served: ServedLab, mode: str) -> None:
    async with served.proxy(mode):
        pass
    generation = served.generation()
    traffic = Traffic(served)
    async with traffic.flowing():
        async with served.proxy(mode) as proxy:
            assert await proxy.process.stop() == 0
        async with served.proxy(mode) as proxy:
            proxy.process.send_signal(signal.SIGKILL)
            await proxy.process.wait()
        async with served.proxy(mode) as old, served.proxy(mode, "--takeover"):
            assert await old.process.wait() == 0
    report(f"{mode}: four starts, SIGTERM, SIGKILL, takeover: {traffic}")
    traffic.check()
    assert served.generation() == generation, "nothing had changed, so nothing was written"


@pytest.mark.parametrize("mode", MODES)
async def test_a_start_waits_until_it_knows_everything(served: ServedLab, mode: str) -> None:
    """Services without their endpoints would be Services that reject everybody."""
    async with served.proxy(mode):
        pass
    relay = Relay(served.lab.namespace(NODE.name), int(served.api.server.rsplit(":", 1)[1]))
    traffic = Traffic(served)
    async with relay.running(), traffic.flowing():
        relay.held = "endpointslices"
        before = served.generation()
        async with run_proxy(served.lab, KUBE_PROXY, configuration(mode), relay.url, wait=False) as proxy:
            await served.eventually(lambda: relay.requests >= 3, proxy)
            await asyncio.sleep(0.3)
            assert served.generation() == before
            served.apply("pod-a", "pod-b", "pod-c")
            relay.release()
            await served.eventually(lambda: served.generation() > before, proxy)
    report(f"{mode}: a start whose endpoints come late: {traffic}")
    traffic.check()


async def test_every_part_reloaded(served: ServedLab) -> None:
    changes: tuple[Manifest, ...] = (
        {"nftables": {"minSyncPeriod": "0s", "syncPeriod": "20s"}},
        {"nftables": {"masqueradeAll": True}},
        {"nodePortAddresses": ["192.168.77.0/24"]},
        {"healthzBindAddress": "127.0.0.1:20256"},
        {"clusterCIDR": "10.244.0.0/16"},
        {},
    )
    async with served.proxy("nftables") as proxy:
        traffic = Traffic(served)
        async with traffic.flowing():
            for number, change in enumerate(changes, 1):
                reconfigure(proxy, "nftables", change)
                await served.eventually(partial(_reloads, proxy, number), proxy)
                await asyncio.sleep(0.1)
    report(f"{len(changes)} reloads: {traffic}")
    traffic.check()


def _reloads(proxy: Proxy, number: int) -> bool:
    return proxy.process.output().count("Reloaded: ") >= number
