"""Faults of the proxy: none, two, slow, failing, or in another mode than the rules."""

import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from aiohttp import web

from kproxy.apiserver.kubeconfig import write_kubeconfig
from kproxy.inspect.doctor.clock import read_clock
from kproxy.inspect.doctor.finding import Severity
from kproxy.sources.kubeconfig import load_connection
from tests.inspect.doctor.patient import Patient, proxy, started
from tests.inspect.status import stock

pytestmark = pytest.mark.root

SLOW = """
kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv4"} 1
kubeproxy_sync_proxy_rules_duration_seconds_bucket{ip_family="IPv4",le="8.192"} 0
kubeproxy_sync_proxy_rules_duration_seconds_bucket{ip_family="IPv4",le="16.384"} 10
kubeproxy_sync_proxy_rules_duration_seconds_bucket{ip_family="IPv4",le="+Inf"} 10
kubeproxy_sync_proxy_rules_duration_seconds_sum{ip_family="IPv4"} 120
kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"} 10
"""


async def test_no_proxy(patient: Patient) -> None:
    (finding,) = await patient.findings("proxy-running")
    assert finding.severity is Severity.CRITICAL
    async with proxy("nftables"):
        assert not await patient.findings("proxy-running")


async def test_an_unhealthy_proxy(patient: Patient) -> None:
    async with proxy("nftables", healthz=503):
        (finding,) = await patient.findings("proxy-running")
        assert "503" in finding.evidence[0]


async def test_two_proxies(patient: Patient, tmp_path: Path) -> None:
    program = tmp_path / "kube-proxy"
    program.write_text("import time\nprint('up', flush=True)\ntime.sleep(60)\n")
    one, other = [await started([sys.executable, str(program)]) for _ in range(2)]
    (finding,) = await patient.findings("two-proxies")
    assert len(finding.evidence) == 2
    await patient.apply([finding])
    await max(one, other, key=lambda process: process.pid).wait()
    assert not await patient.findings("two-proxies")
    for process in (one, other):
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_slow_syncs(patient: Patient) -> None:
    async with proxy("iptables", SLOW):
        (finding,) = await patient.findings("slow-syncs")
        assert "p99 16.3 s, mean 12.0 s in 10 syncs" in finding.evidence[0]
        assert finding.fixes == ("kproxy switch --to nftables --node",)
    async with proxy("nftables", SLOW.replace("8.192", "0.002").replace("16.384", "0.004")):
        assert not await patient.findings("slow-syncs")


async def test_failed_syncs(patient: Patient) -> None:
    async with proxy("iptables", "kubeproxy_sync_proxy_rules_iptables_restore_failures_total 3\n"):
        (finding,) = await patient.findings("failed-syncs")
        assert finding.evidence[0].endswith("is 3")
    async with proxy("iptables", "kubeproxy_sync_proxy_rules_iptables_restore_failures_total 0\n"):
        assert not await patient.findings("failed-syncs")


async def test_stale_rules(patient: Patient) -> None:
    stock.load_nftables()
    async with proxy("iptables"):
        (finding,) = await patient.findings("stale-rules")
        assert "kube-proxy" in finding.subject
        await patient.apply([finding])
        assert not await patient.findings("stale-rules")
    stock.load_iptables("clusterip", "nft")
    async with proxy("nftables"):
        (finding,) = await patient.findings("stale-rules")
        assert finding.fixes == ("kproxy switch --to nftables --node --yes",)


async def test_strict_arp_with_metallb(patient: Patient) -> None:
    patient.pod("speaker-1", app="metallb")
    async with proxy("ipvs"):
        (finding,) = await patient.findings("strict-arp")
        assert "default/speaker-1" in finding.evidence[0]
        await patient.apply([finding])
        assert not await patient.findings("strict-arp")


@pytest.mark.parametrize(("seconds", "direction"), [(-100, "ahead of"), (3600, "behind")])
async def test_clock_skew(patient: Patient, tmp_path: Path, seconds: int, direction: str) -> None:
    """A server whose clock is wrong, beside the right one."""
    app = web.Application()

    async def refuse(_: web.Request) -> web.Response:
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
        return web.Response(status=401, headers={"Date": date})

    app.router.add_get("/version", refuse)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 7443)
    await site.start()
    write_kubeconfig(tmp_path / "wrong", "http://127.0.0.1:7443")
    clock = await read_clock(load_connection(tmp_path / "wrong"))
    await runner.cleanup()
    assert clock is not None
    assert clock.ahead == pytest.approx(seconds, abs=2)
    (finding,) = await patient.findings("clock-skew", clock=clock)
    assert f"{direction} that of http://127.0.0.1:7443" in finding.evidence[0]
    assert finding.severity is Severity.CRITICAL
    assert not await patient.findings("clock-skew")
