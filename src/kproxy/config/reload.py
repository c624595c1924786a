"""What a changed configuration asks of a running proxy: which parts to set up anew, or why the process must end."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from kproxy.config.feature_gates import enabled
from kproxy.config.relevance import without_effect
from kproxy.config.schema import leaves, value_at
from kproxy.config.types import KubeProxyConfiguration


class Part(Enum):
    """A part of the proxy that takes its settings when it is set up; the value is how a log calls it."""

    BACKEND = "backend"
    """Made anew with its options; it compares with the kernel and writes the difference, so nothing is dropped."""
    LOCAL_TRAFFIC = "detection of local traffic"
    NODE_ADDRESSES = "node addresses"
    """The primary addresses and those that serve NodePorts."""
    SYNC_TIMING = "sync periods"
    """Of the sync runner, and of what counts as healthy."""
    HEALTH_SERVER = "health server"
    METRICS_SERVER = "metrics server"
    CONNTRACK = "conntrack settings"
    OOM_SCORE = "oomScoreAdj"
    API_CLIENT = "API client"
    """Its rate limit and how it watches: for the next requests, with the connection and all objects kept."""
    LOGGING = "logging"
    PROCESS = "process"
    """Cannot be done in place: end, and let whoever started the proxy start it again."""


_PARTS: dict[str, Part] = {
    "mode": Part.BACKEND,
    "iptables": Part.BACKEND,
    "ipvs": Part.BACKEND,
    "nftables": Part.BACKEND,
    "portRange": Part.BACKEND,
    "udpIdleTimeout": Part.BACKEND,
    "detectLocalMode": Part.LOCAL_TRAFFIC,
    "detectLocal": Part.LOCAL_TRAFFIC,
    "clusterCIDR": Part.LOCAL_TRAFFIC,
    "bindAddress": Part.NODE_ADDRESSES,
    "nodePortAddresses": Part.NODE_ADDRESSES,
    "hostnameOverride": Part.PROCESS,
    "healthzBindAddress": Part.HEALTH_SERVER,
    "metricsBindAddress": Part.METRICS_SERVER,
    "enableProfiling": Part.METRICS_SERVER,
    "conntrack": Part.CONNTRACK,
    "oomScoreAdj": Part.OOM_SCORE,
    "clientConnection": Part.API_CLIENT,
    "clientConnection.kubeconfig": Part.PROCESS,
    "configSyncPeriod": Part.API_CLIENT,
    "logging": Part.LOGGING,
}
"""The part of each field, or of all fields of a section. Fields that are not here are looked at when they are used."""

_PERIODS = ("syncPeriod", "minSyncPeriod")

_BACKEND_OPTIONS = {
    ("iptables", "nodePortAddresses"),
    ("iptables", "conntrack.tcpBeLiberal"),
    ("userspace", "nodePortAddresses"),
}
"""By mode, the fields outside its section that its backend takes when it is made."""

_REASONS = {
    "hostnameOverride": "which node this is decides whose objects are followed and which endpoints are local",
    "clientConnection.kubeconfig": "another API server may hold other objects under the same names and versions",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs. `parts` must be set up anew, none where the new value simply counts from now on.

    `reason` says why nothing is to be done, or why it cannot be done in place; "" otherwise.
    """

    path: str
    before: object
    after: object
    parts: frozenset[Part] = frozenset()
    reason: str = ""

    def __str__(self) -> str:
        """For a log: the field with both values."""
        return f"{self.path}: {self.before} -> {self.after}"


@dataclass(frozen=True, slots=True)
class Reload:
    """The way from one effective configuration to another."""

    changes: tuple[Change, ...]

    @property
    def parts(self) -> frozenset[Part]:
        """Everything to set up anew; with `Part.PROCESS` in it, nothing else is worth while."""
        return frozenset().union(*(change.parts for change in self.changes))

    @property
    def exit_reasons(self) -> tuple[str, ...]:
        """Why the process must end, field by field; empty when the reload can be done in place."""
        return tuple(f"{change.path}: {change.reason}" for change in self.changes if Part.PROCESS in change.parts)


def compare(old: KubeProxyConfiguration, new: KubeProxyConfiguration) -> Reload:
    """Find what differs between two effective configurations, and what each difference asks for."""
    return Reload(tuple(_changes(old, new)))


def _changes(old: KubeProxyConfiguration, new: KubeProxyConfiguration) -> Iterator[Change]:
    for path, _ in leaves():
        before, after = value_at(old, path), value_at(new, path)
        if before == after:
            continue
        idle = without_effect(path, new) if without_effect(path, old) else None
        if idle is not None:
            yield Change(path, before, after, reason=idle)
        else:
            yield Change(path, before, after, _parts(path, old, new), _REASONS.get(path, ""))


def _parts(path: str, old: KubeProxyConfiguration, new: KubeProxyConfiguration) -> frozenset[Part]:
    section, _, name = path.rpartition(".")
    if name in _PERIODS:
        return frozenset({Part.SYNC_TIMING})
    if path == "featureGates":
        gates = (old.feature_gates, new.feature_gates)
        before, after = (enabled(gate, "WatchListClient") for gate in gates)
        return frozenset({Part.API_CLIENT}) if before != after else frozenset()
    part = _PARTS.get(path) or _PARTS.get(section.partition(".")[0])
    parts = {part} if part else set()
    if (new.mode, path) in _BACKEND_OPTIONS:
        parts.add(Part.BACKEND)
    return frozenset(parts)
