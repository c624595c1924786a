"""Two proxies on one node: two of ours, and ours beside one that writes the same rules its own way."""

import asyncio
import os
import re
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kproxy.lab.process import Process, start
from tests.daemon.node import BIN, Node, endpoint_slice
from tests.reliability.served_lab import report

pytestmark = pytest.mark.root

_SECONDS = 3.0


async def test_of_two_that_start_together_one_runs(here: Node) -> None:
    argv = [str(BIN / "kube-proxy"), "--config", here.configuration(), "-v=2"]
    async with start(here.namespace, argv) as first, start(here.namespace, argv) as second:
        processes = (first, second)
        await here.eventually(lambda: any(process.returncode is not None for process in processes))
        loser, winner = sorted(processes, key=lambda process: process.returncode is None)
        assert await loser.wait() == 1
        assert f"a proxy already serves this node: process {winner.pid}" in loser.output()
        await here.eventually(lambda: "Compared IPv6" in winner.output(), winner)
    assert "10.244.1.1" in here.table()


# What a stock kube-proxy does in a full sync, as far as it collides: its table or chains are emptied and filled anew.
_NFTABLES = """
add table ip kube-proxy
add chain ip kube-proxy services
flush chain ip kube-proxy services
add rule ip kube-proxy services ip daddr 10.96.0.10 counter
"""
_IPTABLES = """*nat
:KUBE-SERVICES - [0:0]
:KUBE-SVC-OTHEROTHEROTHER1 - [0:0]
-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-OTHEROTHEROTHER1
COMMIT
"""
_COMPETITORS = {
    "nftables": (["nft", "-f", "-"], _NFTABLES),
    "iptables-nft": (["iptables-nft-restore", "--noflush"], _IPTABLES),
    "iptables-legacy": (["iptables-legacy-restore", "-w", "5", "--noflush"], _IPTABLES),
}


class Competitor:
    """Writes the node's rules again and again, with a pause, as fast as its program is."""

    def __init__(self, here: Node, mode: str, pause: float) -> None:
        self._here, self._pause = here, pause
        self._argv, self._rules = _COMPETITORS[mode]
        self._stop = threading.Event()
        self.writes = 0

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._write())
        try:
            yield
        finally:
            self._stop.set()
            await task

    async def _write(self) -> None:
        while not self._stop.is_set():
            spawned = asyncio.create_subprocess_exec(
                "nsenter", f"--net=/proc/{os.getpid()}/fd/{self._here.namespace.fd}", *self._argv, stdin=-1
            )
            process = await spawned
            await process.communicate(self._rules.encode())
            assert process.returncode == 0
            self.writes += 1
            await asyncio.sleep(self._pause)


@pytest.mark.parametrize(
    ("mode", "period"), [("nftables", "1s"), ("nftables", "0s"), ("iptables-nft", "1s"), ("iptables-legacy", "1s")]
)
async def test_a_competitor_is_repaired_at_a_bounded_rate(here: Node, mode: str, period: str) -> None:
    """It writes up to ten times a second; the proxy wins in the end, and does not burn a CPU on the way."""
    base, _, variant = mode.partition("-")
    if variant:
        here.run(f"iptables-{variant}", "-t", "mangle", "-N", "KUBE-IPTABLES-HINT")
    competitor = Competitor(here, mode, 0.1)
    # The legacy kernel tells nobody of rules that are exchanged; only the comparison at each syncPeriod finds out.
    async with here.proxy(mode=base, **{base: {"minSyncPeriod": period, "syncPeriod": "1s"}}) as process:
        before = _rules(here, mode)
        busy, compared = _cpu_seconds(process), process.output().count("Compared IPv4")
        async with competitor.writing():
            await asyncio.sleep(_SECONDS)
            busy = _cpu_seconds(process) - busy
            repairs = process.output().count("Compared IPv4") - compared
        report(f"{mode}, minSyncPeriod {period}: {competitor.writes} writes, {repairs} repairs, {busy:.2f} s of CPU")
        warnings = len(re.findall("^W.*Somebody else changed", process.output(), re.MULTILINE))
        assert repairs <= _SECONDS * 1.5 + 1
        assert repairs or mode == "iptables-legacy", "the more rarely, the longer a comparison takes"
        assert busy < 0.5 * _SECONDS
        assert warnings <= 2
        async with asyncio.timeout(60):
            while _rules(here, mode) != before:  # noqa: ASYNC110 (the kernel tells nobody)
                await asyncio.sleep(0.1)
        here.store.apply(endpoint_slice("web", "10.244.1.9"))
        await here.eventually(lambda: "10.244.1.9" in _rules(here, mode), process)


def _rules(here: Node, mode: str) -> str:
    if mode == "nftables":
        return here.table()
    saved = here.run(f"{mode}-save", "-t", "nat")
    return "\n".join(line for line in saved.splitlines() if line.startswith("-A"))


def _cpu_seconds(process: Process) -> float:
    """Of the proxy and of the programs that it ran."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
