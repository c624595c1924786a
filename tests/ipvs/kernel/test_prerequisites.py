"""What the mode sets, and what it says when something is missing."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kproxy.backends.interface import BackendError
from kproxy.backends.ipvs.options import IpvsOptions
from kproxy.backends.ipvs.prerequisites import open_sockets
from kproxy.backends.ipvs.readback import INTERFACE
from kproxy.backends.ipvs.schedulers import SCHEDULERS
from kproxy.kernel.ipvs.socket import Timeouts
from kproxy.kernel.sysctls import read_sysctl, set_sysctl

pytestmark = pytest.mark.usefixtures("ipvs_namespace")


VIP = "10.96.0.10"


def run(*arguments: str) -> None:
    subprocess.run(arguments, check=True)


def opened(release: str = "6.1.0", **options: object) -> None:
    open_sockets(IpvsOptions(**options), release).close()  # type: ignore[arg-type]


def test_sysctls() -> None:
    set_sysctl("net/ipv4/vs/conn_reuse_mode", "1")
    opened()
    for name in ("vs/conntrack", "vs/expire_nodest_conn", "vs/expire_quiescent_template", "ip_forward"):
        assert read_sysctl(f"net/ipv4/{name}") == "1"
    assert read_sysctl("net/ipv4/vs/conn_reuse_mode") == "1"
    assert read_sysctl("net/ipv4/conf/all/arp_ignore") == "0"


def test_kernels_that_delay_clients_which_reuse_ports_are_told_not_to() -> None:
    opened("5.8.0")
    assert read_sysctl("net/ipv4/vs/conn_reuse_mode") == "0"


@pytest.fixture
def host_beside() -> Iterator[str]:
    """A network namespace on a link with this one, which takes the Service's address for one of that link."""
    name = "beside"
    run("ip", "netns", "add", name)
    run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", name)
    run("ip", "address", "add", "192.0.2.1/24", "dev", "eth0")
    run("ip", "link", "set", "eth0", "up")
    for arguments in ("link set lo up", "address add 192.0.2.2/24 dev eth0", "link set eth0 up"):
        run("ip", "-n", name, *arguments.split())
    run("ip", "-n", name, "route", "add", VIP, "dev", "eth0")
    yield name
    run("ip", "netns", "delete", name)


@pytest.mark.parametrize(
    ("strict", "ignore", "announce"), [(False, "0", "0"), (True, "1", "2")], ids=["not strict", "strict"]
)
def test_strict_arp_keeps_hosts_beside_from_finding_services(
    host_beside: str, strict: bool, ignore: str, announce: str
) -> None:
    opened(strict_arp=strict)
    assert read_sysctl("net/ipv4/conf/all/arp_ignore") == ignore
    assert read_sysctl("net/ipv4/conf/all/arp_announce") == announce
    run("ip", "address", "add", f"{VIP}/32", "dev", INTERFACE)
    connect = ["ip", "netns", "exec", host_beside, "timeout", "20", "bash", "-c", f"exec 3<>/dev/tcp/{VIP}/9"]
    answered = "Connection refused" in subprocess.run(connect, capture_output=True, text=True).stderr
    assert answered is not strict


def test_timeouts() -> None:
    opened(timeouts=Timeouts(tcp=901, tcp_fin=0, udp=302))
    said = subprocess.run(["ipvsadm", "-L", "--timeout"], check=True, capture_output=True, text=True).stdout
    assert "901 120 302" in said


def test_an_unknown_scheduler_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(BackendError, match=r"no scheduler 'fast' \(module ip_vs_fast\); it offers rr, wrr, lc"):
        opened(scheduler="fast")


@pytest.mark.parametrize("scheduler", ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "sed", "nq", "mh"])
def test_schedulers_are_loaded_on_demand(scheduler: str) -> None:
    assert scheduler in SCHEDULERS
    opened(scheduler=scheduler)
    assert Path(f"/sys/module/ip_vs_{scheduler}").is_dir()


def test_the_probe_for_schedulers_leaves_nothing() -> None:
    opened()
    assert Path("/proc/thread-self/net/ip_vs").read_text().count("\n") == 3
