"""Can a mode work on this node? Its kernel, modules and tools are tried, not guessed."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from kproxy.backends.interface import BackendError
from kproxy.backends.iptables.variants import choose
from kproxy.backends.nftables.backend import open_nftables
from kproxy.config import KubeProxyConfiguration
from kproxy.config.defaults import DEFAULT_IPVS_SCHEDULER
from kproxy.kernel.interface_addresses import ip_families
from kproxy.kernel.ipvs.socket import IpvsSocket
from kproxy.kernel.modules import load_module

_NFTABLES_KERNEL = (5, 13)
"""What kube-proxy asks for."""
_IPSET_LIMIT = 65_536
"""Elements that an ipset of IPVS mode holds."""
_IPTABLES_SLOW = 5_000
"""Services beyond which iptables mode takes seconds for a change."""
_BYTES_PER_ENDPOINT = 2_048
_MEMINFO = Path("/proc/meminfo")


class Preflight(NamedTuple):
    obstacles: tuple[str, ...]
    warnings: tuple[str, ...]
    modules: tuple[str, ...]
    """What is to be loaded at boot, too."""


def modules_for(mode: str, scheduler: str = "") -> tuple[str, ...]:
    """The kernel modules of a mode."""
    match mode:
        case "ipvs":
            chosen = scheduler or DEFAULT_IPVS_SCHEDULER
            return ("ip_vs", f"ip_vs_{chosen}", "ip_set", "xt_set", "dummy", "nf_conntrack", "br_netfilter")
        case "nftables":
            return ("nf_tables", "nft_ct", "nft_nat", "nft_masq", "nft_chain_nat", "nf_conntrack", "br_netfilter")
        case _:
            return ("ip_tables", "iptable_nat", "iptable_filter", "xt_statistic", "nf_conntrack", "br_netfilter")


def preflight(
    configuration: KubeProxyConfiguration, mode: str, *, services: int, endpoints: int, load: bool
) -> Preflight:
    """Try what a mode needs.

    Args:
        configuration: tells the IPVS scheduler
        mode: the new one
        services: how many Service ports it will serve, 0 when that is not known
        endpoints: likewise
        load: whether missing modules may be loaded for the trial
    """
    scheduler = configuration.ipvs.scheduler or DEFAULT_IPVS_SCHEDULER
    modules = modules_for(mode, scheduler)
    if load:
        for module in modules:
            load_module(module)  # what is built in cannot be loaded, and works; what does not work shows below
    obstacles = [problem for problem in (_TRIALS[mode](scheduler), _version(mode)) if problem]
    warnings = _capacity(mode, services, endpoints)
    if load and os.geteuid() != 0:
        warnings.append("not root: modules cannot be loaded, nor persisted")
    return Preflight(tuple(obstacles), tuple(warnings), modules)


def _try_nftables(scheduler: str) -> str:
    del scheduler
    try:
        open_nftables().close()
    except BackendError as error:
        return str(error)
    return ""


def _try_iptables(scheduler: str) -> str:
    del scheduler
    try:
        choose(ip_families())
    except BackendError as error:
        return str(error)
    return ""


def _try_ipvs(scheduler: str) -> str:
    try:
        ipvs = IpvsSocket()
    except OSError as error:
        reason = load_module("ip_vs") or str(error)
        return f"the kernel has no IPVS: {reason}"
    try:
        if not ipvs.has_scheduler(scheduler):
            return f"the kernel has no IPVS scheduler {scheduler}: {load_module(f'ip_vs_{scheduler}') or 'unknown'}"
    except OSError as error:
        return f"IPVS cannot be used: {error.strerror}"
    finally:
        ipvs.close()
    return _try_iptables(scheduler)


_TRIALS: dict[str, Callable[[str], str]] = {"nftables": _try_nftables, "iptables": _try_iptables, "ipvs": _try_ipvs}


def _version(mode: str) -> str:
    return kernel_obstacle(mode, os.uname().release)


def kernel_obstacle(mode: str, release: str) -> str:
    """Why a version of Linux is too old for a mode; empty when it is not."""
    match = re.match(r"(\d+)\.(\d+)", release)
    if mode == "nftables" and match and tuple(map(int, match.groups())) < _NFTABLES_KERNEL:
        return f"nftables mode needs Linux {'.'.join(map(str, _NFTABLES_KERNEL))} or newer; this is {release}"
    return ""


def _capacity(mode: str, services: int, endpoints: int) -> list[str]:
    found = []
    if mode == "ipvs" and services > _IPSET_LIMIT:
        found.append(f"{services} Service ports, and an ipset of IPVS mode holds {_IPSET_LIMIT}")
    if mode == "iptables" and services > _IPTABLES_SLOW:
        found.append(f"{services} Service ports: iptables mode needs seconds for each change")
    available = _available_bytes()
    needed = endpoints * _BYTES_PER_ENDPOINT
    if available is not None and needed > available:
        found.append(f"about {needed >> 20} MiB are needed beside the old rules, {available >> 20} MiB are available")
    return found


def _available_bytes(meminfo: Path = _MEMINFO) -> int | None:
    try:
        match = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        return None
    return int(match.group(1)) * 1024 if match else None
