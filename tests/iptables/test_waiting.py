"""While iptables-restore runs, others have the event loop, and may change what the next sync is about."""

import asyncio
import fcntl
import os
import time
from pathlib import Path

import pytest

from kproxy.backends.iptables.tool import Tool, Variant
from kproxy.services.addresses import Family, parse_address, parse_network
from kproxy.services.local_traffic import by_network
from kproxy.services.tracker import ServiceTracker
from tests.iptables.kernel_state import backend, kernel_rules, remove_all, tools_of, tracker_of, written
from tests.iptables.test_changes import some_services
from tests.services.builders import endpoint, service, slice_of


class WaitingTool(Tool):
    """Begins to write when it is told to."""

    def __init__(self, family: Family, variant: Variant) -> None:
        super().__init__(family, variant, infix=f"-{variant.value}")
        self.asked, self.begin = asyncio.Event(), asyncio.Event()

    async def restore(self, commands: bytes) -> None:
        self.asked.set()
        await self.begin.wait()
        await super().restore(commands)


def fenced() -> list[object]:
    made = service(
        "fenced",
        clusterIP="10.96.7.1",
        type="LoadBalancer",
        ports=[{"port": 80}],
        ingress=[{"ip": "198.51.100.1"}],
        loadBalancerSourceRanges=["192.0.2.0/24"],
        externalTrafficPolicy="Local",
    )
    return [made, slice_of("fenced", endpoint("10.244.1.1", nodeName="node"), ports=(("", 8080),))]


@pytest.mark.parametrize("first", ["sync", "sync_all"])
async def test_what_is_set_meanwhile_is_for_the_next_sync(first: str, tools: dict[Family, Tool]) -> None:
    network = parse_network("192.0.2.0/24")
    node_ip, other_ip = parse_address("192.0.2.1"), parse_address("192.0.2.2")
    assert network
    assert node_ip
    assert other_ip
    tool = WaitingTool(Family.IPV4, tools[Family.IPV4].variant)
    objects = [*some_services(10), *fenced()]
    tracker: ServiceTracker = tracker_of(objects)  # type: ignore[arg-type]
    running = backend({Family.IPV4: tool}, node_port_networks=(network,))
    running.set_node_port_addresses([node_ip])
    if first == "sync":
        tool.begin.set()
        written(await running.sync_all((), tracker))
        tool.begin.clear()
        tool.asked.clear()
        tracker.upsert(slice_of("s3", "10.9.9.3", ports=(("", 8080),)))
    changed = tracker.take().services
    waiting = asyncio.create_task(
        running.sync(changed, tracker) if first == "sync" else running.sync_all(changed, tracker)
    )
    await tool.asked.wait()
    running.set_node_port_addresses([other_ip])
    running.set_node_ips([node_ip])
    running.set_local_traffic(by_network(["10.245.0.0/16"]))
    tracker.upsert(slice_of("s4", "10.9.9.4", ports=(("", 8080),)))
    tool.begin.set()
    written(await waiting)
    before = str(kernel_rules({Family.IPV4: tool}))
    assert "192.0.2.1/32" in before
    assert "192.0.2.2/32" not in before
    assert "10.245.0.0/16" not in before

    written(await running.sync(tracker.take().services, tracker))
    assert "192.0.2.2/32" in str(kernel_rules({Family.IPV4: tool})), "where NodePorts answer is part of any sync"
    written(await running.sync_all((), tracker))
    after = kernel_rules({Family.IPV4: tool})
    assert "10.9.9.4:8080" in str(after)
    assert "10.245.0.0/16" in str(after)
    assert "-s 198.51.100.1/32" in str(after), "the node is among the sources, so its load balancer IP is"

    await remove_all({Family.IPV4: tool})
    fresh = backend({Family.IPV4: tool}, node_port_networks=(network,))
    fresh.set_local_traffic(by_network(["10.245.0.0/16"]))
    fresh.set_node_port_addresses([other_ip])
    fresh.set_node_ips([node_ip])
    written(await fresh.sync_all((), tracker))
    assert kernel_rules({Family.IPV4: tool}) == after


@pytest.mark.usefixtures("network_namespace")
async def test_a_held_lock_holds_nobody_else(lock_file: Path) -> None:
    tool = tools_of(Variant.LEGACY, lock_wait=1)[Family.IPV4]
    tracker, running = tracker_of(some_services(2)), backend({Family.IPV4: tool})
    lags: list[float] = []

    async def look() -> None:
        while True:
            begin = time.perf_counter()
            await asyncio.sleep(0.001)
            lags.append(time.perf_counter() - begin)

    looking = asyncio.create_task(look())
    with lock_file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        outcomes = await running.sync_all((), tracker)
    looking.cancel()
    assert all("has held the xtables lock" in str(outcome.refused) for outcome in outcomes)
    lags.sort()
    assert len(lags) > 50
    assert lags[len(lags) * 95 // 100] < 0.1


async def test_a_sync_that_is_given_up_leaves_no_program_behind(tools: dict[Family, Tool], lock_file: Path) -> None:
    legacy = tools_of(Variant.LEGACY, lock_wait=60)
    tracker, running = tracker_of(some_services(2)), backend(legacy)
    with lock_file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(running.sync_all((), tracker), 0.3)
        [process] = legacy[Family.IPV4].processes
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
    written(await running.sync_all((), tracker))
    assert written(await running.sync_all((), tracker)) == 0
