"""The proxy as a process, while other programs lock, kill and flush: it repairs, counts, says so once, and answers."""

import asyncio
import fcntl
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kproxy.backends.iptables.tool import Variant
from tests.daemon.node import Node, endpoint_slice, node, service
from tests.iptables.test_variants import link_default

pytestmark = pytest.mark.root

LOCK_SECONDS = 30.0
FAILURES = "kubeproxy_sync_proxy_rules_iptables_restore_failures_total"
PARTIAL_FAILURES = "kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total"
_KILLED_ONCE = """#!/bin/sh
if rm {marker} 2>/dev/null; then
    head -c 20 >/dev/null
    kill -9 $$
fi
exec {program} "$@"
"""


@pytest.fixture(params=Variant)
def default(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock_file: Path
) -> Variant:
    """Each variant in turn is the distribution's."""
    variant = request.param
    assert isinstance(variant, Variant)
    link_default(variant, tmp_path, monkeypatch)
    return variant


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Node]:
    async with Node(tmp_path) as made:
        made.store.apply(node())
        made.store.apply(service())
        made.store.apply(endpoint_slice("web", "10.244.1.1", "10.244.1.2"))
        yield made


def rules(here: Node) -> str:
    return here.run("iptables-save", "-t", "nat")


async def counted(here: Node, metric: str) -> float:
    _, text = await here.get("/metrics")
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(metric + "{"))


@pytest.mark.parametrize("default", [Variant.LEGACY], indirect=True, ids=["legacy"])
@pytest.mark.usefixtures("default")
async def test_a_lock_held_for_half_a_minute(here: Node, lock_file: Path) -> None:
    async with here.proxy(mode="iptables") as process:
        latencies: list[float] = []
        loop = asyncio.get_running_loop()
        with lock_file.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            here.store.apply(endpoint_slice("web", "10.244.1.3"))
            until = loop.time() + LOCK_SECONDS
            while loop.time() < until:
                begin = time.perf_counter()
                await here.get("/healthz", 10256)
                latencies.append(time.perf_counter() - begin)
                await asyncio.sleep(0.02)
            assert "10.244.1.3" not in rules(here)
        await here.eventually(lambda: "10.244.1.3:8080" in rules(here), process)
        await here.eventually(lambda: "Syncing works again" in process.output(), process)
        assert "10.244.1.2:8080" not in rules(here)
        assert process.output().count("has held the xtables lock") == 1
        assert await counted(here, FAILURES) >= 3
        assert await counted(here, PARTIAL_FAILURES) == 1
    latencies.sort()
    assert latencies[len(latencies) * 95 // 100] < 0.1
    assert latencies[-1] < 2.0, "a blocked event loop would have answered after 5 s"


async def test_an_iptables_restore_that_is_killed(here: Node, default: Variant, tmp_path: Path) -> None:
    program = shutil.which(f"iptables-{default.value}-restore")
    assert program
    link, marker = tmp_path / "iptables-restore", tmp_path / "kill"
    link.unlink()
    link.write_text(_KILLED_ONCE.format(marker=marker, program=program), encoding="ascii")
    link.chmod(0o755)
    async with here.proxy(mode="iptables") as process:
        marker.touch()
        here.store.apply(endpoint_slice("web", "10.244.1.3"))
        await here.eventually(lambda: "10.244.1.3:8080" in rules(here), process)
        await here.eventually(lambda: "Syncing works again" in process.output(), process)
        assert "10.244.1.2:8080" not in rules(here)
        assert process.output().count("ended by SIGKILL") == 1
        assert await counted(here, FAILURES) == 1
        assert await counted(here, PARTIAL_FAILURES) == 1


@pytest.mark.usefixtures("default")
async def test_a_flushed_table(here: Node) -> None:
    async with here.proxy(mode="iptables") as process:
        before = [line for line in rules(here).splitlines() if line.startswith("-")]
        here.run("iptables", "-t", "nat", "-F")
        await here.eventually(lambda: "10.244.1.1:8080" in rules(here), process)
        assert [line for line in rules(here).splitlines() if line.startswith("-")] == before
        assert process.output().count("Somebody else changed what this proxy programmed") == 1
        assert await counted(here, "kproxy_repairs_total") == 1
        assert await counted(here, FAILURES) == 0


@pytest.mark.usefixtures("default")
async def test_a_table_flushed_just_before_a_change(here: Node) -> None:
    async with here.proxy(mode="iptables") as process:
        here.run("iptables", "-t", "nat", "-F")
        here.store.delete("Service", "web")
        here.store.apply(service("api", "10.96.0.11"))
        here.store.apply(endpoint_slice("api", "10.244.1.9"))
        await here.eventually(lambda: "10.244.1.9:8080" in rules(here), process)
        await here.eventually(lambda: "KUBE-POSTROUTING -j MARK" in rules(here), process)
        assert "10.96.0.10" not in rules(here)
        # Which is first to tell of it: the kernel, or the change that does not fit any more?
        failures = process.output().count("refused a sync")
        assert failures <= 1
        assert await counted(here, PARTIAL_FAILURES) == failures
