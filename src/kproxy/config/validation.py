"""Whether a configuration can be used: the rules of kube-proxy v1.36, on the effective values.

Types and plain ranges (a mark bit of 0 to 31) are part of the types and checked while decoding. What is merely without
effect is a warning, see `kproxy.config.relevance`.
"""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from kproxy.config import feature_gates, relevance
from kproxy.config.addresses import parse_address, parse_cidr, parse_endpoint, parse_port_range
from kproxy.config.defaults import NODE_PORTS_PRIMARY, mode_settings
from kproxy.config.duration import Duration
from kproxy.config.logging_section import Logging
from kproxy.config.problems import Problem, suggestion
from kproxy.config.scalars import shown
from kproxy.config.types import KubeProxyConfiguration

PREVIOUS_MINOR = "1.35"
"""The release before the one whose surfaces this proxy keeps: the only valid `showHiddenMetricsForVersion`."""

IPVS_SCHEDULERS = ("rr", "wrr", "lc", "wlc", "fo", "ovf", "lblc", "lblcr", "sh", "dh", "mh", "sed", "nq", "twos")
"""The schedulers of the Linux kernel (net/netfilter/ipvs/ip_vs_*.c)."""

_SIZE = re.compile(r"\+?([0-9]+(?:\.[0-9]+)?)(?:[kMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?")
_INTERFACE = re.compile(r"[^\s/:]+")
_MAX_INTERFACE = 15  # IFNAMSIZ without the terminating zero, linux/if.h


@dataclass(frozen=True, slots=True)
class Findings:
    """What validation has to say. A configuration with errors must not be used."""

    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def validate(configuration: KubeProxyConfiguration, written: Collection[str] = ()) -> Findings:
    """Check an effective configuration.

    Args:
        configuration: as `kproxy.config.defaults.effective` returns it.
        written: the paths of the fields that somebody wrote, for warnings that concern only those.
    """
    errors = (
        *_addresses(configuration),
        *_node_port_addresses(configuration),
        *_local_detection(configuration),
        *_periods(configuration),
        *_conntrack(configuration),
        *_ipvs(configuration),
        *_userspace(configuration),
        *_metrics(configuration),
        *_logging(configuration.logging, configuration),
    )
    warnings = (*feature_gates.review(configuration.feature_gates), *relevance.review(configuration, written))
    return Findings(errors, warnings)


def _parsed(path: str, text: str, parse: Callable[[str], object]) -> Iterator[Problem]:
    try:
        parse(text)
    except ValueError as error:
        yield Problem(path, f"{shown(text)} {error}")


def _addresses(configuration: KubeProxyConfiguration) -> Iterator[Problem]:
    yield from _parsed("bindAddress", configuration.bind_address, parse_address)
    for path, text in (
        ("healthzBindAddress", configuration.healthz_bind_address),
        ("metricsBindAddress", configuration.metrics_bind_address),
    ):
        if text:
            yield from _parsed(path, text, parse_endpoint)


def _node_port_addresses(configuration: KubeProxyConfiguration) -> Iterator[Problem]:
    addresses = configuration.node_port_addresses or ()
    for index, text in enumerate(addresses):
        path = f"nodePortAddresses[{index}]"
        if text != NODE_PORTS_PRIMARY:
            yield from _parsed(path, text, parse_cidr)
        elif len(addresses) > 1:
            yield Problem(path, f"{NODE_PORTS_PRIMARY} must be the only entry")


def _local_detection(configuration: KubeProxyConfiguration) -> Iterator[Problem]:
    match configuration.detect_local_mode:
        case "ClusterCIDR":
            yield from _cluster_cidr(configuration.cluster_cidr)
        case "BridgeInterface":
            yield from _interface("detectLocal.bridgeInterface", configuration.detect_local.bridge_interface)
        case "InterfaceNamePrefix":
            yield from _interface("detectLocal.interfaceNamePrefix", configuration.detect_local.interface_name_prefix)
        case "NodeCIDR":
            pass


def _cluster_cidr(text: str) -> Iterator[Problem]:
    if not text:
        return
    parts = text.split(",")
    malformed = [problem for part in parts for problem in _parsed("clusterCIDR", part, parse_cidr)]
    yield from malformed
    families = [] if malformed else [parse_cidr(part).version for part in parts]
    if len(families) != len(set(families)):
        yield Problem("clusterCIDR", 'must be one CIDR, or one of each family: "10.244.0.0/16,fd00:10:244::/56"')


def _interface(path: str, name: str) -> Iterator[Problem]:
    if not name:
        yield Problem(path, "must not be empty with this detectLocalMode")
    elif len(name.encode()) > _MAX_INTERFACE or not _INTERFACE.fullmatch(name):
        yield Problem(path, f"{shown(name)} cannot name an interface: at most {_MAX_INTERFACE} bytes, no space, / or :")


def _periods(configuration: KubeProxyConfiguration) -> Iterator[Problem]:
    section = "iptables" if configuration.mode == "userspace" else configuration.mode
    settings = mode_settings(configuration)
    sync_path, minimum_path = f"{section}.syncPeriod", f"{section}.minSyncPeriod"
    yield from _positive(sync_path, settings.sync_period)
    if settings.min_sync_period < Duration():
        yield Problem(minimum_path, f"must not be negative, got {settings.min_sync_period}")
    elif Duration() < settings.sync_period < settings.min_sync_period:
        yield Problem(
            sync_path, f"must be at least {minimum_path} ({settings.min_sync_period}), got {settings.sync_period}"
        )
    yield from _positive("configSyncPeriod", configuration.config_sync_period)
    yield from _positive("logging.flushFrequency", configuration.logging.flush_frequency)


def _positive(path: str, period: Duration) -> Iterator[Problem]:
    if period <= Duration():
        yield Problem(path, f"must be greater than 0, got {period}")


def _conntrack(configuration: KubeProxyConfiguration) -> Iterator[Problem]:
    conntrack = configuration.conntrack
    yield from _kernel_timeout("conntrack.tcpEstablishedTimeout", conntrack.tcp_established_timeout)
    yield from _kernel_timeout("conntrack.tcpCloseWaitTimeout", conntrack.tcp_close_wait_timeout)
    yield from _kernel_timeout("conntrack.udpTimeout", conntrack.udp_timeout)
    yield from _kernel_timeout("conntrack.udpStreamTimeout", conntrack.udp_stream_timeout)


def _kernel_timeout(path: str, timeout: Duration) -> Iterator[Problem]:
    # The kernel counts whole seconds: less than one would be written as 0 and end every flow at once.
    if timeout < Duration() or Duration() < timeout < Duration.of(seconds=1):
        yield Problem(path, f"must be 0 (leave as it is) or at least 1s, got {timeout}")


def _ipvs(configuration: KubeProxyConfiguration) -> Iterator[Problem]:
    if configuration.mode != "ipvs":
        return
    ipvs = configuration.ipvs
    if ipvs.scheduler and ipvs.scheduler not in IPVS_SCHEDULERS:
        near = suggestion(ipvs.scheduler, IPVS_SCHEDULERS)
        yield Problem(
            "ipvs.scheduler",
            f"must be one of {', '.join(IPVS_SCHEDULERS)}, or empty for rr; got {shown(ipvs.scheduler)}{near}",
        )
    for index, text in enumerate(ipvs.exclude_cidrs or ()):
        yield from _parsed(f"ipvs.excludeCIDRs[{index}]", text, parse_cidr)
    yield from _kernel_timeout("ipvs.tcpTimeout", ipvs.tcp_timeout)
    yield from _kernel_timeout("ipvs.tcpFinTimeout", ipvs.tcp_fin_timeout)
    yield from _kernel_timeout("ipvs.udpTimeout", ipvs.udp_timeout)


def _userspace(configuration: KubeProxyConfiguration) -> Iterator[Problem]:
    yield from _parsed("portRange", configuration.port_range, parse_port_range)
    if configuration.mode == "userspace":
        yield from _positive("udpIdleTimeout", configuration.udp_idle_timeout)
    elif configuration.udp_idle_timeout < Duration():
        yield Problem("udpIdleTimeout", f"must not be negative, got {configuration.udp_idle_timeout}")


def _metrics(configuration: KubeProxyConfiguration) -> Iterator[Problem]:
    version = configuration.show_hidden_metrics_for_version
    if version not in {"", PREVIOUS_MINOR}:
        yield Problem(
            "showHiddenMetricsForVersion",
            f"must be empty or {PREVIOUS_MINOR}, the previous minor version; got {shown(version)}",
        )


def _logging(logging: Logging, configuration: KubeProxyConfiguration) -> Iterator[Problem]:
    gates = configuration.feature_gates
    if logging.format == "json":
        if not feature_gates.enabled(gates, "LoggingBetaOptions"):
            yield Problem("logging.format", "json needs the feature gate LoggingBetaOptions, which is off")
        if logging.vmodule:
            yield Problem("logging.vmodule", "is only supported for the text format")
    for index, item in enumerate(logging.vmodule):
        if not item.file_pattern:
            yield Problem(f"logging.vmodule[{index}].filePattern", "must not be empty")
        elif any(character in item.file_pattern for character in "=,"):
            yield Problem(f"logging.vmodule[{index}].filePattern", "must not contain an equals sign or a comma")
    alpha = feature_gates.enabled(gates, "LoggingAlphaOptions")
    for name, options in (("text", logging.options.text), ("json", logging.options.json)):
        path = f"logging.options.{name}"
        if options.split_stream and not alpha:
            yield Problem(f"{path}.splitStream", "needs the feature gate LoggingAlphaOptions, which is off")
        size = _SIZE.fullmatch(options.info_buffer_size)
        if size is None:
            yield Problem(
                f"{path}.infoBufferSize", f"{shown(options.info_buffer_size)} is not a size such as 0, 512 or 64Ki"
            )
        elif size.group(1).strip("0.") and not alpha:
            yield Problem(f"{path}.infoBufferSize", "needs the feature gate LoggingAlphaOptions, which is off")
