"""What the mode needs of the kernel: found, loaded and set, or else an error that says what is missing."""

import errno
import logging
from collections.abc import Callable
from typing import TypeVar

from kproxy.backends.interface import BackendError
from kproxy.backends.ipvs import schedulers
from kproxy.backends.ipvs.options import IpvsOptions
from kproxy.backends.ipvs.readback import INTERFACE, Sockets
from kproxy.backends.ipvs.sets import SetName, specification
from kproxy.kernel.ipset.socket import SetSocket
from kproxy.kernel.ipvs.socket import IpvsSocket
from kproxy.kernel.links import LinkSocket
from kproxy.kernel.modules import load_module
from kproxy.kernel.sysctls import read_sysctl, set_sysctl
from kproxy.services.addresses import Family

log = logging.getLogger(__name__)
T = TypeVar("T")

_NOT_PERMITTED = "IPVS mode: no permission: run as root, or with the capability NET_ADMIN"
_SYSCTLS = {
    "net/ipv4/vs/conntrack": "1",
    "net/ipv4/vs/expire_nodest_conn": "1",
    "net/ipv4/vs/expire_quiescent_template": "1",
    "net/ipv4/ip_forward": "1",
}
"""The first so that packets which IPVS has translated can be masqueraded."""
_STRICT_ARP = {"net/ipv4/conf/all/arp_ignore": "1", "net/ipv4/conf/all/arp_announce": "2"}
"""Hosts on the node's links are not told that it has the addresses of the dummy interface."""
_REUSE_MODE = "net/ipv4/vs/conn_reuse_mode"
_REUSE_FIXED = (5, 9)
"""The first version of Linux in which a client that reuses a port is rescheduled without a second's delay."""
_BRIDGE = "net/bridge/bridge-nf-call-iptables"


def open_sockets(options: IpvsOptions, release: str) -> Sockets:
    """Open the kernel's interfaces, make the dummy interface, and set what must be set.

    Args:
        options: what is to be used
        release: the kernel's version, as `uname -r` gives it

    Raises:
        BackendError: something is missing, or not permitted; says what, and how to get it
    """
    ipvs = _needed("ip_vs", "CONFIG_IP_VS", IpvsSocket)
    sets = _needed("ip_set", "CONFIG_IP_SET", _open_sets, ipvs.close)
    sockets = Sockets(ipvs, sets, LinkSocket())
    try:
        _needed("dummy", "CONFIG_DUMMY", lambda: sockets.links.ensure_dummy(INTERFACE))
        _check_scheduler(ipvs, options.scheduler)
        for name, value in {**_SYSCTLS, **(_STRICT_ARP if options.strict_arp else {})}.items():
            _set(name, value)
        if kernel_version(release) < _REUSE_FIXED:
            _set(_REUSE_MODE, "0")
        if (found := read_sysctl(_BRIDGE)) != "1":
            state = found or "missing (module br_netfilter)"
            log.warning("%s is %s: pods on a bridge will miss answers from pods beside them", _BRIDGE, state)
        if any(options.timeouts):
            ipvs.set_timeouts(options.timeouts)
    except BackendError:
        sockets.close()
        raise
    except OSError as error:
        sockets.close()
        raise BackendError(_NOT_PERMITTED if error.errno == errno.EPERM else f"IPVS mode: {error}") from error
    return sockets


def kernel_version(release: str) -> tuple[int, int]:
    """The first two numbers of a version such as `6.1.0-56-amd64`; zeros where there are none."""
    numbers = [int(part) if part.isdigit() else 0 for part in release.split("-", maxsplit=1)[0].split(".")[:2]]
    major, minor = (*numbers, 0, 0)[:2]
    return major, minor


def _open_sets() -> SetSocket:
    sets = SetSocket()
    try:
        sets.list(specification(SetName.IPVS_IPS, Family.IPV4))
    except OSError:
        sets.close()
        raise
    return sets


def _needed(module: str, option: str, use: Callable[[], T], give_up: Callable[[], None] = lambda: None) -> T:
    """Use a part of the kernel, which loads it; else load its module, and try again."""
    try:
        return use()
    except OSError as error:
        first = error
    reason = None
    if first.errno != errno.EPERM:
        reason = load_module(module)
        if reason is None:
            try:
                return use()
            except OSError as error:
                first = error
    give_up()
    if first.errno == errno.EPERM:
        raise BackendError(_NOT_PERMITTED) from first
    why = reason or f"module {module} is loaded, but does not answer: {first}"
    raise BackendError(f"IPVS mode needs {module} ({option}), which this kernel lacks: {why}") from first


def _check_scheduler(ipvs: IpvsSocket, name: str) -> None:
    if not schedulers.is_there(ipvs, name):
        raise BackendError(f"ipvs.scheduler: {schedulers.missing(ipvs, name)}")


def _set(name: str, value: str) -> None:
    try:
        if set_sysctl(name, value):
            log.info("Set %s=%s", name, value)
    except OSError as error:
        current = _read(name)
        raise BackendError(
            f"IPVS mode needs /proc/sys/{name} to be {value}, but it is {current}: {error.strerror}"
        ) from error


def _read(name: str) -> str:
    try:
        return read_sysctl(name) or "missing"
    except OSError as error:
        return f"unreadable ({error.strerror})"
