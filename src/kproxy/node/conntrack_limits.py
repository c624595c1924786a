"""How many connections the kernel tracks, and for how long: what `conntrack` in the configuration asks for.

Values are only ever raised, and nothing is written where nothing has to be, so that a proxy with few privileges can
follow one that had more (`--init-only`). A value that cannot be set is a problem to tell, not a reason to leave a
node without Services.
"""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kproxy.config.duration import Duration
from kproxy.config.sections import Conntrack
from kproxy.kernel.modules import load_module
from kproxy.kernel.sysctls import read_sysctl, set_sysctl

_NETFILTER = "net/netfilter/nf_conntrack_"
_MAX, _BUCKETS = f"{_NETFILTER}max", f"{_NETFILTER}buckets"
_HASHSIZE = Path("/sys/module/nf_conntrack/parameters/hashsize")
_MOST_SCALED = 1 << 20
"""What `maxPerCore` comes to at most (kube-proxy v1.36), so that a large machine does not give gigabytes to it."""
_PER_BUCKET = 4


class Limit(NamedTuple):
    """A value that the kernel should have at least."""

    field: str
    """What asks for it, as a path in the configuration."""
    sysctl: str
    value: int


class Raised(NamedTuple):
    """A value that was changed."""

    limit: Limit
    before: int

    def __str__(self) -> str:
        return f"{self.limit.field}: {self.limit.sysctl} raised from {self.before} to {self.limit.value}"


class Kept(NamedTuple):
    """A value that is larger than asked for, and stays."""

    limit: Limit
    current: int

    def __str__(self) -> str:
        return f"{self.limit.field}: {self.limit.sysctl} stays {self.current}, more than {self.limit.value}"


class LimitProblem(NamedTuple):
    """A value that is too low and could not be raised."""

    limit: Limit
    current: int | None
    """None when this kernel does not tell."""
    reason: str
    read_only: bool
    """The file system does not take it: a container runtime has mounted it read-only."""

    def __str__(self) -> str:
        field, sysctl, value = self.limit
        name = sysctl.replace("/", ".")
        unless = "conntrack.maxPerCore to 0" if sysctl in {_MAX, _BUCKETS} else f"{field} to what it is"
        return (
            f"{field}: /proc/sys/{sysctl} is {'unknown' if self.current is None else self.current}, and cannot be "
            f"raised to {value}: {self.reason}; on the node itself run: sysctl -w {name}={value}, or set {unless}"
        )


def wanted_limits(conntrack: Conntrack, cpus: int) -> list[Limit]:
    """What a configuration asks for; zero values ask for nothing.

    Args:
        conntrack: `maxPerCore` 0 leaves the number of connections alone, whatever `min` is
        cpus: of the node, not those that this process may run on
    """
    limits = []
    if conntrack.max_per_core:
        scaled = min(conntrack.max_per_core * cpus, _MOST_SCALED)
        field = "conntrack.maxPerCore" if scaled > conntrack.min else "conntrack.min"
        most = max(scaled, conntrack.min)
        limits += [Limit(field, _MAX, most), Limit(field, _BUCKETS, most // _PER_BUCKET)]
    limits += _timeout("tcpEstablishedTimeout", "tcp_timeout_established", conntrack.tcp_established_timeout)
    limits += _timeout("tcpCloseWaitTimeout", "tcp_timeout_close_wait", conntrack.tcp_close_wait_timeout)
    limits += _timeout("udpTimeout", "udp_timeout", conntrack.udp_timeout)
    limits += _timeout("udpStreamTimeout", "udp_timeout_stream", conntrack.udp_stream_timeout)
    if conntrack.tcp_be_liberal:
        limits.append(Limit("conntrack.tcpBeLiberal", f"{_NETFILTER}tcp_be_liberal", 1))
    return limits


def apply_limits(conntrack: Conntrack) -> list[Raised | Kept | LimitProblem]:
    """Raise what is too low, in the network namespace of the calling thread. Never raises an exception for it."""
    limits = wanted_limits(conntrack, os.cpu_count() or 1)
    if limits and not _readable(limits[0].sysctl):
        load_module("nf_conntrack")  # where it fails, so does what follows, with a reason
    return [result for limit in limits if (result := _apply(limit)) is not None]


def _timeout(field: str, name: str, timeout: Duration) -> Iterator[Limit]:
    if timeout:
        yield Limit(f"conntrack.{field}", _NETFILTER + name, int(timeout.seconds))


def _readable(sysctl: str) -> bool:
    try:
        return read_sysctl(sysctl) is not None
    except OSError:
        return False


def _apply(limit: Limit) -> Raised | Kept | LimitProblem | None:
    """None when the value is as asked for."""
    current: int | None = None
    try:
        text = read_sysctl(limit.sysctl)
        if text is None:
            return LimitProblem(limit, None, "this kernel has no connection tracking", read_only=False)
        current = int(text)
        if current >= limit.value:
            return Kept(limit, current) if current > limit.value else None
        _write(limit)
    except (OSError, ValueError) as error:
        return _problem(limit, current, error)
    return Raised(limit, current)


def _write(limit: Limit) -> None:
    try:
        set_sysctl(limit.sysctl, str(limit.value))
    except OSError:
        if limit.sysctl != _BUCKETS:
            raise
        # The same number, for containers whose /proc/sys is read-only and whose /sys is not.
        _HASHSIZE.write_text(str(limit.value), encoding="ascii")


def _problem(limit: Limit, current: int | None, error: OSError | ValueError) -> LimitProblem:
    if not isinstance(error, OSError):
        return LimitProblem(limit, current, "it holds no number", read_only=False)
    read_only = error.errno == errno.EROFS
    reason = error.strerror or str(error)
    if error.errno in {errno.EACCES, errno.EPERM}:
        reason += " (only root may, and the number of connections only outside of containers' network namespaces)"
    return LimitProblem(limit, current, reason, read_only)
