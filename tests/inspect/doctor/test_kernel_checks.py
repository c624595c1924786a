"""Faults of the whole kernel, which no namespace has for itself: made in a machine of their own."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kproxy.inspect.doctor.finding import Severity
from kproxy.kernel.sysctls import read_sysctl
from tests.inspect.doctor.patient import Patient, run

pytestmark = [pytest.mark.root, pytest.mark.ipvs]

INITIAL = "nsenter --net=/proc/1/ns/net"
"""Limits that are the whole kernel's can be changed from the first network namespace only, which is the node's."""
MODULES = "etc/modules-load.d/kproxy-doctor.conf"
PATIENCE = 60.0


@contextmanager
def without(module: str) -> Iterator[None]:
    """A kernel that has not got a module, and does not load it by itself, as where modprobe is out of its reach."""
    before = read_sysctl("kernel/modprobe")
    run("sysctl", "-qw", "kernel.modprobe=/bin/false")
    try:
        _unload(module)
        yield
    finally:
        run("sysctl", "-qw", f"kernel.modprobe={before}")
        run("modprobe", "--all", "ip_vs", "br_netfilter")


def _unload(module: str) -> None:
    """With what uses it; namespaces that have been left, and use it too, are taken down behind the kernel's scenes."""
    loaded = Path("/sys/module", module)
    deadline = time.monotonic() + PATIENCE
    while loaded.is_dir():
        assert time.monotonic() < deadline, f"{module} stays in use"
        for holder in list((loaded / "holders").iterdir()):
            _unload(holder.name)
        if subprocess.run(["rmmod", module], capture_output=True, check=False).returncode:
            time.sleep(0.5)


async def test_a_kernel_without_ipvs(patient: Patient) -> None:
    patient.settings["mode"] = "ipvs"
    with without("ip_vs"):
        (finding,) = await patient.findings("ipvs-modules")
        assert finding.severity is Severity.CRITICAL
        assert finding.fixes[0] == "modprobe -a ip_vs ip_vs_rr"
        await patient.apply([finding])
        assert not await patient.findings("ipvs-modules")
        assert patient.written(MODULES) == ["ip_vs", "ip_vs_rr"]
        patient.settings["ipvs"] = {"scheduler": "sed"}
        (finding,) = await patient.findings("ipvs-modules")
        assert finding.fixes[0] == "modprobe -a ip_vs_sed"
        await patient.apply([finding])
        assert not await patient.findings("ipvs-modules")


async def test_a_kernel_without_bridge_netfilter(patient: Patient) -> None:
    for command in (
        "ip link add cni0 type bridge",
        "ip addr add 10.244.1.254/24 dev cni0",
        "ip link add v0 type veth peer name v1",
        "ip link set v0 master cni0 up",
        "ip link set cni0 up",
    ):
        run(*command.split())
    with without("br_netfilter"):
        (finding,) = await patient.findings("bridge-nf-call")
        assert "net/bridge/bridge-nf-call-iptables is missing" in finding.evidence[0]
        await patient.apply([finding])
        assert not await patient.findings("bridge-nf-call")
        assert patient.written(MODULES) == ["br_netfilter"]


async def test_a_full_conntrack_table(patient: Patient) -> None:
    name = "net/netfilter/nf_conntrack_max"
    before = read_sysctl(name)
    for port in range(20000, 20060):
        run(
            *("conntrack", "-I", "-p", "udp", "-s", "192.0.2.9", "-d", "192.0.2.8", "-t", "600"),
            *("--sport", str(port), "--dport", "53", "-r", "192.0.2.8", "-q", "192.0.2.9"),
            *("--reply-port-src", "53", "--reply-port-dst", str(port)),
        )
    count = int(read_sysctl("net/netfilter/nf_conntrack_count") or 0)
    try:
        await patient.command(f"{INITIAL} sysctl -qw {name}={count}")
        (finding,) = await patient.findings("conntrack-full")
        assert finding.severity is Severity.CRITICAL
        assert finding.advice.startswith("Set conntrack.maxPerCore, from which the limit is set at every start,")
        (fix,) = finding.fixes
        await patient.command(f"{INITIAL} {fix}")
        assert not await patient.findings("conntrack-full")
    finally:
        await patient.command(f"{INITIAL} sysctl -qw {name}={before}")
