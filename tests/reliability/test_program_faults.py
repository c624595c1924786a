"""iptables mode needs other programs: no process for them to be had, or somebody kills them."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kproxy.lab.process import Process, start
from tests.daemon.node import BIN, Node, endpoint_slice
from tests.reliability.served_lab import report

pytestmark = pytest.mark.root

_HIERARCHIES = (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup"))
_FAILURES = r'^kubeproxy_sync_proxy_rules_iptables_restore_failures_total{ip_family="IPv4"} (\S+)$'


class ProcessLimit:
    """A control group whose processes cannot have any more (pids controller, cgroups(7))."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def hold(self, process: Process) -> None:
        """Allow a process as many threads as it has, and no child."""
        (self._folder / "cgroup.procs").write_text(str(process.pid))
        (self._folder / "pids.max").write_text(str(sum(1 for _ in Path(f"/proc/{process.pid}/task").iterdir())))

    def lift(self) -> None:
        (self._folder / "pids.max").write_text("max")


@pytest.fixture
def process_limit() -> Iterator[ProcessLimit]:
    for hierarchy in _HIERARCHIES:
        folder = hierarchy / f"kproxy-test-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        if (folder / "pids.max").exists():
            break
        folder.rmdir()
    else:
        pytest.skip("needs a writable control group with the pids controller")
    try:
        yield ProcessLimit(folder)
    finally:
        folder.rmdir()


@asynccontextmanager
async def proxy(here: Node, env: Mapping[str, str] | None = None) -> AsyncIterator[Process]:
    argv = [str(BIN / "kube-proxy"), "--config", here.configuration(mode="iptables"), "-v=2"]
    async with start(here.namespace, argv, env) as process:
        await here.eventually(lambda: "Compared IPv6" in process.output(), process)
        yield process


async def fails_and_recovers(here: Node, process: Process, repair: Callable[[], None]) -> None:
    """A change cannot be written: that is counted, told once, and done when it can be."""
    before = here.run("iptables-save", "-t", "nat")
    here.store.apply(endpoint_slice("web", "10.244.1.9"))
    async with asyncio.timeout(15):
        while (count := await failures(here)) < 4:  # noqa: ASYNC110 (a metric tells nobody)
            await asyncio.sleep(0.1)
    said = [line.partition("] ")[2] for line in process.output().splitlines() if "refused a sync" in line]
    report(f"{count:.0f} failures counted; logged: {said}")
    assert 1 <= len(said) <= 2, "once when the change failed, once when the comparison did"
    assert len(said) == len(set(said))
    assert (await here.get("/livez", 10256))[0] == 200
    assert rules(here.run("iptables-save", "-t", "nat")) == rules(before)
    repair()
    await here.eventually(lambda: "10.244.1.9" in here.run("iptables-save", "-t", "nat"), process)
    await here.eventually(lambda: "Syncing works again" in process.output(), process)
    assert "Traceback" not in process.output()


async def test_no_process_can_be_had(here: Node, process_limit: ProcessLimit) -> None:
    async with proxy(here) as process:
        process_limit.hold(process)
        await fails_and_recovers(here, process, process_limit.lift)


async def test_nftables_mode_needs_no_process(here: Node, process_limit: ProcessLimit) -> None:
    async with here.proxy() as process:
        before = here.table()
        process_limit.hold(process)
        here.run("nft", "delete", "table", "ip", "kube-proxy")
        await here.eventually(lambda: here.table() == before, process)
        here.store.apply(endpoint_slice("web", "10.244.1.9"))
        await here.eventually(lambda: "10.244.1.9" in here.table(), process)
        process_limit.lift()


async def test_what_iptables_mode_left_goes_when_processes_can_be_had_again(
    here: Node, process_limit: ProcessLimit
) -> None:
    async with proxy(here) as process:
        process_limit.hold(process)
        here.configuration(mode="nftables")
        await here.eventually(lambda: "10.244.1.1" in here.table(), process)
        await here.eventually(lambda: "cannot be removed yet" in process.output(), process)
        assert "KUBE-SERVICES" in here.run("iptables-save")
        process_limit.lift()
        await here.eventually(lambda: "KUBE" not in here.run("iptables-save"), process)
        assert "Traceback" not in process.output()


async def test_somebody_kills_every_iptables_restore(here: Node, tmp_path: Path) -> None:
    flag = tmp_path / "kill"
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("iptables-restore", "ip6tables-restore"):
        program = folder / name
        program.write_text(f'#!/bin/sh\n[ ! -e {flag} ] || kill -9 $$\nexec {shutil.which(name)} "$@"\n')
        program.chmod(0o755)
    async with proxy(here, {"PATH": f"{folder}:{os.environ['PATH']}"}) as process:
        flag.touch()
        await fails_and_recovers(here, process, flag.unlink)


async def failures(here: Node) -> float:
    _, text = await here.get("/metrics")
    return sum(map(float, re.findall(_FAILURES, text, re.MULTILINE)))


def rules(saved: str) -> list[str]:
    return [line for line in saved.splitlines() if line.startswith("-A")]
