"""A proxy that is killed at any moment leaves rules that work, and nothing that hinders the next one."""

import asyncio
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kproxy.lab.kubernetes_objects import ServiceDefinition, endpoint_slices, service
from tests.reliability.descriptors import writable_files
from tests.reliability.served_lab import ServedLab, Traffic, report

pytestmark = pytest.mark.root

_KILLS = 4
_OTHERS = 300


@contextmanager
def churn(served: ServedLab) -> Iterator[None]:
    """Other Services change without a pause."""

    async def change() -> None:
        chance = random.Random(1)
        while True:
            number = chance.randrange(_OTHERS)
            address = f"10.97.{number >> 8}.{number & 255}"
            ports = [{"name": "http", "port": 80, "targetPort": 8080}]
            spec = {"clusterIP": address, "clusterIPs": [address], "ports": ports}
            pods = chance.sample(["pod-a", "pod-b", "pod-c", "pod-d"], chance.randrange(1, 5))
            definition = ServiceDefinition(spec, [list(pods)])
            for manifest in (service(f"other-{number}", definition), *endpoint_slices(f"other-{number}", definition)):
                served.api.apply(manifest)
            await asyncio.sleep(0.002)

    task = asyncio.create_task(change())
    try:
        yield
    finally:
        task.cancel()


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
async def test_killed_in_the_middle_of_it(served: ServedLab, mode: str) -> None:
    chance = random.Random(2)
    async with served.proxy(mode):
        pass
    traffic = Traffic(served)
    async with traffic.flowing():
        with churn(served):
            for _ in range(_KILLS):
                async with served.proxy(mode) as proxy:
                    await asyncio.sleep(chance.uniform(0, 0.2))
                    proxy.process.send_signal(signal.SIGKILL)
                    await proxy.process.wait()
        async with served.proxy(mode):
            pass
        generation = served.generation()
        async with served.proxy(mode):
            assert served.generation() == generation, "what the last one left was right and complete"
    report(f"{mode}: killed {_KILLS} times while it wrote: {traffic}")
    traffic.check()


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
async def test_after_a_loss_of_power_there_is_nothing_to_go_wrong(served: ServedLab, mode: str) -> None:
    """The kernel's rules are gone then, and files may be torn; a proxy keeps none."""
    async with served.proxy(mode) as proxy:
        written = writable_files(proxy.process.pid)
        assert [name for name in written if not name.endswith(" (deleted)")] == [], "the deleted one is this test's log"
        proxy.process.send_signal(signal.SIGKILL)
        await proxy.process.wait()
    served.run("nft", "flush", "ruleset")
    async with served.proxy(mode):
        outcome = await served.lab.probe("pod-x", "TCP", "10.96.0.10", 80)
        assert outcome.pod
