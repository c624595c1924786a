"""A kernel that forgets, keeps quiet or says no."""

import asyncio
import re
import signal
import sys

import pytest

from kproxy.lab.commits import CommitMonitor
from kproxy.lab.probe import now
from kproxy.lab.process import start
from tests.daemon.node import Node, endpoint_slice
from tests.reliability.descriptors import shrink_notification_buffers
from tests.reliability.served_lab import report

pytestmark = pytest.mark.root


@pytest.mark.parametrize("deletion", ["delete table ip kube-proxy", "flush ruleset"])
async def test_a_deleted_table_is_back_at_once(here: Node, deletion: str) -> None:
    async with here.proxy() as process:
        before = here.table()
        with CommitMonitor(here.namespace) as monitor:
            begin = now()
            deleting = await asyncio.to_thread(here.run, "nft", *deletion.split())
            burst = await monitor.burst_since(begin, patience=5, quiet=0.3)
        assert not deleting
        deleted, repaired = burst[0], next(commit for commit in burst if commit.program != "nft")
        report(f"{deletion}: back {(repaired.at - deleted.at) * 1000:.1f} ms later")
        assert repaired.at - deleted.at < 1
        assert here.table() == before
        assert process.output().count("Somebody else changed") == 1


async def test_notifications_that_do_not_fit_are_a_reason_to_look(here: Node) -> None:
    """The socket's buffer is full of others' news (ENOBUFS) when the news of the table's end comes, and is lost."""
    async with here.proxy() as process:
        before = here.table()
        assert shrink_notification_buffers(process.pid) == 1
        process.send_signal(signal.SIGSTOP)
        try:
            here.run("nft", "add", "table", "ip", "other")
            here.run("nft", "; ".join(f"add chain ip other chain{number}" for number in range(200)))
            here.run("nft", "delete", "table", "ip", "kube-proxy")
        finally:
            process.send_signal(signal.SIGCONT)
        await here.eventually(lambda: here.table() == before, process)


async def test_a_permission_that_goes_and_comes_back(here: Node) -> None:
    argv = [sys.executable, "-m", "tests.reliability.revocable", "--config", here.configuration(), "-v=2"]
    async with start(here.namespace, argv) as process:
        await here.eventually(lambda: "Compared IPv6" in process.output(), process)
        generation = here.nft.generation()
        process.send_signal(signal.SIGUSR1)
        here.store.apply(endpoint_slice("web", "10.244.1.9"))
        async with asyncio.timeout(15):
            while await _failures(here) < 6:  # noqa: ASYNC110 (a metric tells nobody)
                await asyncio.sleep(0.1)
        said = [line for line in process.output().splitlines() if "refused a sync" in line]
        report(f"{await _failures(here):.0f} failures counted; logged: {[line.partition('] ')[2] for line in said]}")
        assert len(said) <= 2, "once when the change failed, once when the comparison did"
        assert here.nft.generation() == generation
        assert (await here.get("/livez", 10256))[0] == 200
        process.send_signal(signal.SIGUSR2)
        await here.eventually(lambda: "10.244.1.9" in here.table(), process)
        await here.eventually(lambda: "Syncing works again" in process.output(), process)
        assert "Traceback" not in process.output()


async def _failures(here: Node) -> float:
    _, text = await here.get("/metrics")
    name = "kubeproxy_sync_proxy_rules_nftables_sync_failures_total"
    return sum(map(float, re.findall(rf"^{name}{{.*}} (\S+)$", text, re.MULTILINE)))
