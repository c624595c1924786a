"""Switching a cluster: in the test's process, interrupted, and by the command."""

import asyncio
from collections.abc import Callable

from kproxy.sources.kubeconfig import load_connection
from kproxy.switch.cluster import ClusterOptions, ClusterSwitch
from kproxy.switch.cluster_client import ClusterClient
from kproxy.switch.plan import Report, Step
from tests.inspect.status.commands import command
from tests.switch.fake_cluster import FakeCluster


async def switch(
    cluster: FakeCluster, options: ClusterOptions, on_step: Callable[[Step], None] = lambda step: None
) -> Report:
    """Plan a switch, and carry it out."""
    async with ClusterClient(load_connection(cluster.kubeconfig), qps=0) as client:
        switching = ClusterSwitch(client, options, on_step)
        plan, found = await switching.plan()
        assert plan.possible, plan.obstacles
        return await switching.run(plan, found)


async def interrupt_after(cluster: FakeCluster, options: ClusterOptions, name: str) -> None:
    """Begin a switch, and kill it when a step of that name is done."""
    reached = asyncio.Event()
    task = asyncio.create_task(switch(cluster, options, lambda step: reached.set() if step.name == name else None))
    async with asyncio.timeout(10):
        await reached.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def kproxy_switch(cluster: FakeCluster, *arguments: str) -> tuple[int, str]:
    """Run the command; returns exit status and output."""
    argv = command("switch", "--cluster", "--kubeconfig", str(cluster.kubeconfig), "--patience", "5", *arguments)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()
