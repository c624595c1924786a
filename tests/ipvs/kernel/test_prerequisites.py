"""What the mode sets, and what it says when something is missing."""

import os
import subprocess
from pathlib import Path

import pytest

from kproxy.backends.interface import BackendError
from kproxy.backends.ipvs.backend import IpvsBackend
from kproxy.backends.ipvs.options import SCHEDULERS, IpvsOptions
from kproxy.backends.ipvs.prerequisites import kernel_version, open_sockets
from kproxy.kernel.ipvs.socket import Timeouts
from kproxy.kernel.sysctls import read_sysctl, set_sysctl
from kproxy.services.addresses import Family


@pytest.mark.parametrize(
    ("release", "version"),
    [("6.1.0-56-amd64", (6, 1)), ("5.10.0", (5, 10)), ("4.19", (4, 19)), ("6", (6, 0)), ("strange", (0, 0))],
)
def test_kernel_versions(release: str, version: tuple[int, int]) -> None:
    assert kernel_version(release) == version


def opened(release: str = "6.1.0", **options: object) -> None:
    open_sockets(IpvsOptions(**options), release).close()  # type: ignore[arg-type]


@pytest.mark.usefixtures("ipvs_namespace")
class TestWithIpvs:
    def test_sysctls(self) -> None:
        set_sysctl("net/ipv4/vs/conn_reuse_mode", "1")
        opened()
        for name in ("vs/conntrack", "vs/expire_nodest_conn", "vs/expire_quiescent_template", "ip_forward"):
            assert read_sysctl(f"net/ipv4/{name}") == "1"
        assert read_sysctl("net/ipv4/vs/conn_reuse_mode") == "1"
        assert read_sysctl("net/ipv4/conf/all/arp_ignore") == "0"

    def test_kernels_that_delay_clients_which_reuse_ports_are_told_not_to(self) -> None:
        opened("5.8.0")
        assert read_sysctl("net/ipv4/vs/conn_reuse_mode") == "0"

    def test_strict_arp(self) -> None:
        opened(strict_arp=True)
        assert read_sysctl("net/ipv4/conf/all/arp_ignore") == "1"
        assert read_sysctl("net/ipv4/conf/all/arp_announce") == "2"

    def test_timeouts(self) -> None:
        opened(timeouts=Timeouts(tcp=901, tcp_fin=0, udp=302))
        said = subprocess.run(["ipvsadm", "-L", "--timeout"], check=True, capture_output=True, text=True).stdout
        assert "901 120 302" in said

    def test_an_unknown_scheduler_is_an_error_that_lists_the_known(self) -> None:
        with pytest.raises(BackendError, match=r"no scheduler 'fast' \(module ip_vs_fast\); it offers rr, wrr, lc"):
            opened(scheduler="fast")

    @pytest.mark.parametrize("scheduler", ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "sed", "nq", "mh"])
    def test_schedulers_are_loaded_on_demand(self, scheduler: str) -> None:
        assert scheduler in SCHEDULERS
        opened(scheduler=scheduler)
        assert Path(f"/sys/module/ip_vs_{scheduler}").is_dir()

    def test_the_probe_for_schedulers_leaves_nothing(self) -> None:
        opened()
        assert Path("/proc/thread-self/net/ip_vs").read_text().count("\n") == 3


@pytest.mark.skipif(Path("/proc/net/ip_vs").exists(), reason="this kernel has IPVS")
@pytest.mark.usefixtures("network_namespace")
def test_without_ipvs_the_error_says_what_is_missing_and_how_to_get_it() -> None:
    with pytest.raises(BackendError) as caught:
        IpvsBackend(tuple(Family), IpvsOptions())
    assert str(caught.value).startswith("IPVS mode needs ip_vs (CONFIG_IP_VS), which this kernel lacks: ")
    assert os.uname().release in str(caught.value)
