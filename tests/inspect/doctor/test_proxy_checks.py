"""Faults of the proxy: none, two, slow, failing, or in another mode than the rules."""

import os
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from aiohttp import web

from kproxy.apiserver.kubeconfig import write_kubeconfig
from kproxy.apiserver.resources import DAEMON_SETS, PODS
from kproxy.inspect.detection.footprints import Owner
from kproxy.inspect.detection.processes import ProxyProcess
from kproxy.inspect.detection.supervision import Supervision, supervision
from kproxy.inspect.doctor.checks.registry import CHECKS
from kproxy.inspect.doctor.clock import read_clock
from kproxy.inspect.doctor.examination import examine
from kproxy.inspect.doctor.finding import Severity
from kproxy.inspect.output import InspectionError
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
    assert not finding.fixes
    assert finding.advice == "Start the proxy by what has installed it here: a DaemonSet, systemd, or by hand."
    async with proxy("nftables"):
        assert not await patient.findings("proxy-running")


async def test_a_proxy_that_runs_and_does_not_answer(patient: Patient, tmp_path: Path) -> None:
    program = tmp_path / "kube-proxy"
    program.write_text("import time\nprint('up', flush=True)\ntime.sleep(60)\n")
    process = await started([sys.executable, str(program)])
    try:
        (finding,) = await patient.findings("proxy-running")
    finally:
        process.kill()
        await process.wait()
    assert finding.severity is Severity.WARNING
    assert finding.advice.startswith("Ask first with --metrics, if its metrics are elsewhere. Restart the proxy by")


async def test_a_proxy_that_its_daemon_set_has_here_but_does_not_answer(patient: Patient) -> None:
    patient.daemon_set()
    patient.pod("kube-proxy-x7z2p", namespace="kube-system", ready=False, k8s_app="kube-proxy")
    (finding,) = await patient.findings("proxy-running")
    assert "DaemonSet kube-system/kube-proxy: 3 of 4 pods are ready" in finding.evidence
    assert "Pod kube-proxy-x7z2p: Running; Ready is False no answer" in finding.evidence
    assert finding.fixes == ("kubectl -n kube-system delete pod kube-proxy-x7z2p",)
    await patient.apply([finding])
    assert not patient.store.collection(PODS)  # and the DaemonSet starts it anew:
    async with proxy("nftables"):
        assert not await patient.findings("proxy-running")


async def test_a_daemon_set_that_leaves_this_node_out(patient: Patient) -> None:
    patient.daemon_set(**{"example.org/no-proxy": "true"})
    (finding,) = await patient.findings("proxy-running")
    assert "its nodeSelector wants example.org/no-proxy=true, which node here has not" in finding.evidence
    await patient.apply([finding])
    stored = patient.store.get(DAEMON_SETS, "kube-system", "kube-proxy").decode()
    assert not stored["spec"]["template"]["spec"].get("nodeSelector")
    (finding,) = await patient.findings("proxy-running")  # until its pod is there
    assert not finding.fixes
    assert "kube-proxy" in await patient.command(finding.look[0])


async def test_an_unhealthy_proxy(patient: Patient) -> None:
    patient.daemon_set()
    patient.pod("kube-proxy-x7z2p", namespace="kube-system", k8s_app="kube-proxy")
    async with proxy("nftables", healthz=503):
        (finding,) = await patient.findings("proxy-running")
    assert "503" in finding.evidence[0]
    await patient.apply([finding])
    async with proxy("nftables"):
        assert not await patient.findings("proxy-running")


async def test_two_proxies(patient: Patient, tmp_path: Path) -> None:
    program = tmp_path / "kube-proxy"
    program.write_text("import time\nprint('up', flush=True)\ntime.sleep(60)\n")
    one, other = [await started([sys.executable, str(program)]) for _ in range(2)]
    try:
        (finding,) = await patient.findings("two-proxies")
        assert len(finding.evidence) == 2
        assert finding.fixes == (f"kill {max(one.pid, other.pid)}",)
        await patient.apply([finding])
        await max(one, other, key=lambda process: process.pid).wait()
        assert not await patient.findings("two-proxies")
    finally:
        for process in (one, other):
            if process.returncode is None:
                process.kill()
                await process.wait()


@pytest.mark.parametrize(
    ("groups", "unit", "in_pod"),
    [
        ("0::/system.slice/kproxy.service\n", "kproxy.service", False),
        ("1:name=systemd:/system.slice/kube-proxy.service\n0::/\n", "kube-proxy.service", False),
        ("0::/kubepods.slice/kubepods-pod1.slice/cri-2.scope\n", "", True),
        ("0::/kubepods/besteffort/pod1/2\n1:x:/system.slice/kubelet.service\n", "", True),
        ("0::/user.slice/session-1.scope\n", "", False),
    ],
)
def test_who_starts_a_process_again(tmp_path: Path, groups: str, unit: str, in_pod: bool) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7/cgroup").write_text(groups)
    assert supervision(7, tmp_path) == Supervision(unit, in_pod)
    assert not supervision(8, tmp_path)


async def test_two_proxies_that_would_be_started_again(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Systemd and a kubelet: neither runs here, so their commands are not carried out."""
    supervised = {1: Supervision("kproxy.service", in_pod=False), 2: Supervision("", in_pod=True)}
    monkeypatch.setattr("kproxy.inspect.doctor.checks.proxy.supervision", supervised.__getitem__)
    patient.daemon_set()
    view = await patient.view()
    by_unit = ProxyProcess(1, Owner.KPROXY, ("kproxy", "run"))
    by_pod = ProxyProcess(2, Owner.KUBE_PROXY, ("kube-proxy",))
    for processes, fixes, advice in (
        ((by_unit, by_pod), (), "A pod's proxy would be started anew: keep one of the DaemonSets off this node"),
        ((by_pod, by_unit), ("systemctl disable --now kproxy.service",), "This keeps process 2"),
    ):
        detection = view.detection._replace(processes=processes)
        (finding,) = await patient.findings("two-proxies", detection=detection)
        assert (finding.fixes, finding.advice.startswith(advice)) == (fixes, True)
        assert "DaemonSet kube-system/kube-proxy" in finding.evidence
        assert "kube-proxy" in await patient.command(finding.look[0])


async def test_slow_syncs(patient: Patient) -> None:
    """What the command does to a node that serves is for the tests of `kproxy switch`: here it is understood."""
    config = patient.where().config
    process = ProxyProcess(os.getpid(), Owner.KPROXY, ("kproxy", "run", "--config", str(config)))
    async with proxy("iptables", SLOW):
        detection = (await patient.view()).detection._replace(processes=(process,))
        (finding,) = await patient.findings("slow-syncs", detection=detection)
        assert "p99 16.3 s, mean 12.0 s in 10 syncs" in finding.evidence[0]
        assert finding.fixes == (f"kproxy switch --to nftables --node --config {config} --yes",)
        assert "nftables in /proxyMode" in await patient.command(f"{finding.fixes[0]} --dry-run")
    async with proxy("nftables", SLOW.replace("8.192", "0.002").replace("16.384", "0.004")):
        assert not await patient.findings("slow-syncs")


async def test_slow_syncs_where_no_mode_is_faster(patient: Patient) -> None:
    async with proxy("nftables", SLOW):
        (finding,) = await patient.findings("slow-syncs")
        assert not finding.fixes
        assert finding.advice.startswith("Give the proxy more of the processor")


async def test_failed_syncs(patient: Patient) -> None:
    patient.daemon_set()
    patient.pod("kube-proxy-x7z2p", namespace="kube-system", k8s_app="kube-proxy")
    async with proxy("iptables", "kubeproxy_sync_proxy_rules_iptables_restore_failures_total 3\n"):
        (finding,) = await patient.findings("failed-syncs")
        assert finding.evidence[0].endswith("is 3")
        assert not finding.fixes
        assert finding.look == ("kubectl -n kube-system logs kube-proxy-x7z2p --tail=200",)
    async with proxy("iptables", "kubeproxy_sync_proxy_rules_iptables_restore_failures_total 0\n"):
        assert not await patient.findings("failed-syncs")


async def test_stale_rules_of_nftables_mode(patient: Patient) -> None:
    stock.load_nftables()
    async with proxy("iptables"):
        (finding,) = await patient.findings("stale-rules")
        assert "kube-proxy" in finding.subject
        await patient.apply([finding])
        assert not await patient.findings("stale-rules")


async def test_stale_rules_of_iptables_mode(patient: Patient) -> None:
    stock.load_iptables("clusterip", "nft")
    async with proxy("nftables"):
        (finding,) = await patient.findings("stale-rules")
        assert finding.fixes == ("kproxy switch --to nftables --node --yes",)
        await patient.apply([finding])
        assert not await patient.findings("stale-rules")


async def test_stale_rules_that_a_restart_sorts_out(patient: Patient) -> None:
    patient.daemon_set()
    patient.pod("kube-proxy-x7z2p", namespace="kube-system", k8s_app="kube-proxy")
    stock.load_iptables("clusterip", "nft")
    async with proxy("ipvs"):
        (finding,) = await patient.findings("stale-rules")
        assert finding.fixes == ("kubectl -n kube-system delete pod kube-proxy-x7z2p",)
        await patient.apply([finding])
        await patient.command("kproxy cleanup")  # what the pod's successor does when it starts
        assert not await patient.findings("stale-rules")


async def test_strict_arp_with_metallb(patient: Patient) -> None:
    patient.pod("speaker-1", app="metallb")
    async with proxy("ipvs"):
        (finding,) = await patient.findings("strict-arp")
        assert "default/speaker-1" in finding.evidence[0]
        assert "Set ipvs.strictARP to true" in finding.advice
        await patient.apply([finding])
        assert not await patient.findings("strict-arp")


async def test_a_clock_that_cannot_be_read_is_said(patient: Patient, tmp_path: Path) -> None:
    write_kubeconfig(tmp_path / "nobody", "http://127.0.0.1:7443")
    with pytest.raises(InspectionError, match=r"clock of http://127\.0\.0\.1:7443 cannot be read: .*call failed"):
        await read_clock(load_connection(tmp_path / "nobody"))
    view = await patient.view(clock=None)
    found = await examine(view, [check for check in CHECKS if check.name == "clock-skew"])
    assert (found.passed, found.skipped) == ((), ("clock-skew",))


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
    # No systemd runs here: what the command brings about is a server and a node that agree.
    assert finding.fixes in (("timedatectl set-ntp true",), ("chronyc -a makestep",))
    assert not await patient.findings("clock-skew")
