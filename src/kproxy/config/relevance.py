"""Settings that are accepted and change nothing: each is named with the reason, none is ignored silently."""

from collections.abc import Collection, Iterator

from kproxy.config.mode_sections import IPVS, IPTables, NFTables
from kproxy.config.problems import Problem
from kproxy.config.schema import Kind, fields_of
from kproxy.config.sections import Section, Winkernel
from kproxy.config.types import KubeProxyConfiguration, ProxyMode

# v1alpha1 has no place of their own for these: what a mode reads from the iptables section.
_SHARED: dict[ProxyMode, frozenset[str]] = {
    "iptables": frozenset(),
    "ipvs": frozenset({"iptables.masqueradeBit", "iptables.masqueradeAll"}),
    "nftables": frozenset(),
    "userspace": frozenset({"iptables.masqueradeAll", "iptables.syncPeriod", "iptables.minSyncPeriod"}),
}
# Only iptables mode serves NodePorts on 127.0.0.1: in the others, what switching it off asks for is already so.
_ALREADY_SO = "iptables.localhostNodePorts"
# Values that other files spell out although they are what a missing field means.
_COMMON_DEFAULTS = {"syncPeriod": {"30s"}, "minSyncPeriod": {"1s"}, "scheduler": {"rr"}}


def review(configuration: KubeProxyConfiguration, written: Collection[str] = ()) -> Iterator[Problem]:
    """Yield a warning for each setting that differs from its default and has no effect."""
    yield from _other_modes(configuration)
    yield from _local_detection(configuration, written)
    for path in _changed(Winkernel(), configuration.winkernel, "winkernel"):
        yield Problem(path, "configures the Windows proxy and has no effect on Linux")
    if configuration.windows_run_as_service:
        yield Problem("windowsRunAsService", "has no effect on Linux")
    if configuration.port_range and configuration.mode != "userspace":
        yield Problem("portRange", f"has no effect in {configuration.mode} mode; only userspace mode takes ports")
    yield from _content_types(configuration)
    if configuration.show_hidden_metrics_for_version:
        yield Problem("showHiddenMetricsForVersion", "has no effect: no metric of this proxy is hidden")


def _other_modes(configuration: KubeProxyConfiguration) -> Iterator[Problem]:
    mode = configuration.mode
    for name, default, section in (
        ("iptables", IPTables(), configuration.iptables),
        ("ipvs", IPVS(), configuration.ipvs),
        ("nftables", NFTables(), configuration.nftables),
    ):
        for path in _changed(default, section, name):
            if name != mode and path != _ALREADY_SO and path not in _SHARED[mode]:
                yield Problem(path, f"has no effect in {mode} mode")


def _local_detection(configuration: KubeProxyConfiguration, written: Collection[str]) -> Iterator[Problem]:
    mode, detect = configuration.detect_local_mode, configuration.detect_local
    for path, value, needed in (
        ("clusterCIDR", configuration.cluster_cidr, "ClusterCIDR"),
        ("detectLocal.bridgeInterface", detect.bridge_interface, "BridgeInterface"),
        ("detectLocal.interfaceNamePrefix", detect.interface_name_prefix, "InterfaceNamePrefix"),
    ):
        if value and mode != needed:
            yield Problem(path, f"has no effect with detectLocalMode {mode}; it is for {needed}")
    if mode == "ClusterCIDR" and not configuration.cluster_cidr and "detectLocalMode" in written:
        yield Problem("detectLocalMode", "ClusterCIDR without clusterCIDR: no traffic counts as from local pods")


def _content_types(configuration: KubeProxyConfiguration) -> Iterator[Problem]:
    connection = configuration.client_connection
    for path, text in (
        ("clientConnection.contentType", connection.content_type),
        ("clientConnection.acceptContentTypes", connection.accept_content_types),
    ):
        if text and not any(known in text for known in ("json", "protobuf")):
            yield Problem(path, "has no effect: this proxy always speaks JSON with the API server")


def _changed(default: Section, section: Section, prefix: str) -> Iterator[str]:
    """Yield the paths of the values that are neither the default nor another way to write it."""
    for attribute, (name, field) in zip(section.__struct_fields__, fields_of(type(section)).items(), strict=True):
        before, after = getattr(default, attribute), getattr(section, attribute)
        empty = field.kind is Kind.STRINGS and not after
        if before != after and not empty and str(after) not in _COMMON_DEFAULTS.get(name, ()):
            yield f"{prefix}.{name}"
