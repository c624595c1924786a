"""The mode is told by the kernel alone, whoever's rules they are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kproxy.backends.nftables.backend import NftablesBackend
from kproxy.backends.nftables.ruleset import RulesetOptions
from kproxy.inspect.detection import detect as module
from kproxy.inspect.detection.detect import detect
from kproxy.inspect.detection.endpoint import RunningProxy, Sample, read_metrics
from kproxy.inspect.detection.footprints import Owner, read_kernel
from kproxy.inspect.detection.processes import proxy_processes
from kproxy.services.addresses import Family
from kproxy.services.tracker import ServiceTracker
from tests.inspect.status import stock

pytestmark = pytest.mark.usefixtures("network_namespace")


async def test_an_empty_kernel_has_no_mode() -> None:
    found = await detect()
    assert (found.mode, found.footprints, found.running, found.problems) == (None, (), None, ())


async def test_kube_proxys_table_is_told_from_ours() -> None:
    stock.load_nftables()
    found = await detect()
    assert (found.mode, found.owner) == ("nftables", Owner.KUBE_PROXY)
    assert found.footprints[0].objects["nftables elements"] == 2
    assert "service-ips" in found.evidence[0]


async def test_our_table() -> None:
    backend = NftablesBackend((Family.IPV4, Family.IPV6), RulesetOptions())
    await backend.sync_all((), ServiceTracker("here"))
    backend.close()
    found = await detect()
    assert (found.mode, found.owner) == ("nftables", Owner.KPROXY)
    assert len(found.footprints) == 1
    assert len(found.evidence) == 2  # one table a family


@pytest.mark.parametrize("variant", ["legacy", "nft"])
async def test_iptables_mode_in_both_variants(variant: str) -> None:
    stock.load_iptables("nodeport", variant)
    found = await detect()
    assert (found.mode, found.owner) == ("iptables", Owner.EITHER)
    assert f"iptables-{variant}-save" in found.evidence[0]
    assert found.footprints[0].objects["nat rules"] > 20


async def test_ipvs_modes_chains_are_not_taken_for_iptables_mode() -> None:
    stock.load_rules("*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-NODE-PORT - [0:0]\n:KUBE-LOAD-BALANCER - [0:0]\nCOMMIT\n")
    found = await detect()
    assert found.mode == "ipvs"


async def test_a_kubelets_chains_are_no_mode() -> None:
    stock.load_rules(
        "*mangle\n:KUBE-KUBELET-CANARY - [0:0]\n:KUBE-IPTABLES-HINT - [0:0]\nCOMMIT\n"
        "*filter\n:KUBE-FIREWALL - [0:0]\nCOMMIT\n"
    )
    assert (await detect()).mode is None


async def test_two_modes_without_a_proxy_that_says_which() -> None:
    stock.load_nftables()
    stock.load_iptables("clusterip", "legacy")
    found = await detect()
    assert found.mode is None
    assert {footprint.mode for footprint in found.footprints} == {"nftables", "iptables"}
    assert len(found.evidence) == 2


def test_stale_is_what_the_running_proxy_does_not_have() -> None:
    stock.load_nftables()
    stock.load_iptables("clusterip", "legacy")
    footprints = read_kernel().footprints
    running = RunningProxy("x:1", "iptables", Owner.KPROXY, (), {}, None)
    stale = [each.mode for each in footprints if not module.belongs(each, "iptables", running)]
    assert stale == ["nftables"]
    ours = running._replace(mode="nftables")
    assert [each.mode for each in footprints if not module.belongs(each, "nftables", ours)] == ["nftables", "iptables"]
    userspace = running._replace(mode="userspace")  # which redirects with iptables here
    assert [each.mode for each in footprints if not module.belongs(each, "userspace", userspace)] == ["nftables"]


def test_a_proxys_process_is_found_in_its_namespace_only(tmp_path: Path) -> None:
    program = tmp_path / "kube-proxy"
    program.write_text("import time\nprint('up', flush=True)\ntime.sleep(60)\n")
    with subprocess.Popen([sys.executable, str(program), "--config", "x"], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        try:
            assert [(found.pid, found.owner) for found in proxy_processes()] == [(process.pid, Owner.KPROXY)]
            child = os.fork()
            if child == 0:  # another namespace
                import ctypes

                ctypes.CDLL(None).unshare(0x40000000)
                os._exit(0 if not proxy_processes() else 1)
            assert os.waitpid(child, 0)[1] == 0
        finally:
            process.kill()


def test_metrics_end_at_the_first_line_that_is_none() -> None:
    good = b'a_total 1.0\nb{c="d"} 2\n'
    assert list(read_metrics(good + b"<html>\n"))[:1] == [Sample("a_total", {}, 1.0)]
