"""Settings that are accepted and change nothing: each is named with the reason, none is ignored silently."""

from collections.abc import Collection, Iterator

from kproxy.config.problems import Problem
from kproxy.config.schema import Kind, leaves, value_at
from kproxy.config.types import KubeProxyConfiguration

# v1alpha1 has no place of their own for these: the fields of iptables mode that ipvs mode has too. Userspace mode has
# them all.
_SHARED_WITH_IPVS = frozenset({"iptables.masqueradeBit", "iptables.masqueradeAll"})
_LOCAL_MODES = {
    "clusterCIDR": "ClusterCIDR",
    "detectLocal.bridgeInterface": "BridgeInterface",
    "detectLocal.interfaceNamePrefix": "InterfaceNamePrefix",
}
# Where it has no effect, NodePorts are never served on 127.0.0.1: what switching it off asks for is already so.
_ALREADY_SO = "iptables.localhostNodePorts"
# Values that other files spell out although they are what a missing field means.
_COMMON_DEFAULTS = {"syncPeriod": {"30s"}, "minSyncPeriod": {"1s"}, "scheduler": {"rr"}}
_CONTENT_TYPES = ("clientConnection.contentType", "clientConnection.acceptContentTypes")


def without_effect(path: str, configuration: KubeProxyConfiguration) -> str | None:
    """Why a field changes nothing in this configuration, whatever its value; None where it does."""
    mode = configuration.mode
    match path.partition(".")[0]:
        case "iptables" if mode in {"iptables", "userspace"} or (mode == "ipvs" and path in _SHARED_WITH_IPVS):
            return None
        case "iptables" | "ipvs" | "nftables" as section if section != mode:
            return f"has no effect in {mode} mode"
        case "winkernel":
            return "configures the Windows proxy and has no effect on Linux"
        case "windowsRunAsService":
            return "has no effect on Linux"
        case "portRange" | "udpIdleTimeout" if mode != "userspace":
            what = "takes ports" if path == "portRange" else "keeps UDP flows itself"
            return f"has no effect in {mode} mode; only userspace mode {what}"
        case "clusterCIDR" | "detectLocal" if (needed := _LOCAL_MODES[path]) != configuration.detect_local_mode:
            return f"has no effect with detectLocalMode {configuration.detect_local_mode}; it is for {needed}"
        case "showHiddenMetricsForVersion":
            return "has no effect: no metric of this proxy is hidden"
        case "logging" if path.startswith("logging.options.") and configuration.logging.format not in path.split("."):
            return f"has no effect with the log format {configuration.logging.format}"
    if path in _CONTENT_TYPES:
        return "has no effect: this proxy always speaks JSON with the API server"
    return None


def review(configuration: KubeProxyConfiguration, written: Collection[str] = ()) -> Iterator[Problem]:
    """Yield a warning for each setting that differs from its default and has no effect.

    Args:
        configuration: an effective one.
        written: the paths of the fields that somebody wrote, for warnings that concern only those.
    """
    for path, field in leaves():
        value = value_at(configuration, path)
        empty = field.kind is Kind.STRINGS and not value
        usual = path == _ALREADY_SO or str(value) in _COMMON_DEFAULTS.get(field.name, ())
        known = path in _CONTENT_TYPES and (not value or "json" in str(value) or "protobuf" in str(value))
        if value == field.default or empty or usual or known:
            continue
        if reason := without_effect(path, configuration):
            yield Problem(path, reason)
    by_cidr = configuration.detect_local_mode == "ClusterCIDR"
    if by_cidr and not configuration.cluster_cidr and "detectLocalMode" in written:
        yield Problem("detectLocalMode", "ClusterCIDR without clusterCIDR: no traffic counts as from local pods")
