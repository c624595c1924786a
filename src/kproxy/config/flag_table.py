"""The command line of kube-proxy: which flags there are, and which field of the configuration each one sets.

Beside those of v1.36 there are the two of userspace mode, under the names that they had until v1.25:
`--proxy-port-range` and `--udp-timeout`.
"""

import functools
from dataclasses import dataclass
from enum import Enum

from kproxy.config.schema import Kind, leaf


class FlagType(Enum):
    """What a flag takes; the value is how `--help` calls it."""

    BOOL = ""
    STRING = "string"
    INT32 = "int32"
    FLOAT32 = "float32"
    DURATION = "duration"
    STRING_SLICE = "strings"
    IP = "ip"
    IP_PORT = "ipport"
    GATES = "mapStringBool"
    VMODULE = "pattern=N,..."
    VERSION = "version[=true]"


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag. `path` is the field it sets, empty for those that are about this run only."""

    name: str
    type: FlagType
    path: str = ""
    help: str = ""
    shorthand: str = ""
    beside_file: bool = False
    """Whether it counts beside `--config` too."""

    @property
    def takes_value(self) -> bool:
        """Whether `--name` alone is incomplete."""
        return self.type not in {FlagType.BOOL, FlagType.VERSION}

    @property
    def description(self) -> str:
        """What it does, for `--help`."""
        return self.help or leaf(self.path).description


_TYPES = {
    Kind.BOOLEAN: FlagType.BOOL,
    Kind.INTEGER: FlagType.INT32,
    Kind.NUMBER: FlagType.FLOAT32,
    Kind.STRING: FlagType.STRING,
    Kind.DURATION: FlagType.DURATION,
    Kind.CHOICE: FlagType.STRING,
    Kind.STRINGS: FlagType.STRING_SLICE,
    Kind.SWITCHES: FlagType.GATES,
    Kind.SECTIONS: FlagType.VMODULE,
}

_FIELD_FLAGS = {
    "bind-address-hard-fail": "bindAddressHardFail",
    "cluster-cidr": "clusterCIDR",
    "config-sync-period": "configSyncPeriod",
    "conntrack-max-per-core": "conntrack.maxPerCore",
    "conntrack-min": "conntrack.min",
    "conntrack-tcp-be-liberal": "conntrack.tcpBeLiberal",
    "conntrack-tcp-timeout-close-wait": "conntrack.tcpCloseWaitTimeout",
    "conntrack-tcp-timeout-established": "conntrack.tcpEstablishedTimeout",
    "conntrack-udp-timeout": "conntrack.udpTimeout",
    "conntrack-udp-timeout-stream": "conntrack.udpStreamTimeout",
    "detect-local-mode": "detectLocalMode",
    "feature-gates": "featureGates",
    "iptables-localhost-nodeports": "iptables.localhostNodePorts",
    "iptables-masquerade-bit": "iptables.masqueradeBit",
    "ipvs-exclude-cidrs": "ipvs.excludeCIDRs",
    "ipvs-min-sync-period": "ipvs.minSyncPeriod",
    "ipvs-scheduler": "ipvs.scheduler",
    "ipvs-strict-arp": "ipvs.strictARP",
    "ipvs-sync-period": "ipvs.syncPeriod",
    "ipvs-tcp-timeout": "ipvs.tcpTimeout",
    "ipvs-tcpfin-timeout": "ipvs.tcpFinTimeout",
    "ipvs-udp-timeout": "ipvs.udpTimeout",
    "kube-api-burst": "clientConnection.burst",
    "kube-api-content-type": "clientConnection.contentType",
    "kube-api-qps": "clientConnection.qps",
    "kubeconfig": "clientConnection.kubeconfig",
    "nodeport-addresses": "nodePortAddresses",
    "oom-score-adj": "oomScoreAdj",
    "pod-bridge-interface": "detectLocal.bridgeInterface",
    "pod-interface-name-prefix": "detectLocal.interfaceNamePrefix",
    "profiling": "enableProfiling",
    "proxy-mode": "mode",
    "proxy-port-range": "portRange",
    "show-hidden-metrics-for-version": "showHiddenMetricsForVersion",
    "udp-timeout": "udpIdleTimeout",
}

_SYNC_NOTE = " Counts in every mode but ipvs."

_OTHER_FLAGS = (
    Flag("bind-address", FlagType.IP, "bindAddress"),
    Flag("cleanup", FlagType.BOOL, help="Remove everything that the proxy has put into the kernel, and exit."),
    Flag("config", FlagType.STRING, help="Path of the configuration file."),
    Flag("healthz-bind-address", FlagType.IP_PORT, "healthzBindAddress"),
    Flag("help", FlagType.BOOL, help="Print this, and exit.", shorthand="h"),
    Flag("hostname-override", FlagType.STRING, "hostnameOverride", beside_file=True),
    Flag(
        "init-only",
        FlagType.BOOL,
        help="Do what needs full root privileges, and exit; CAP_NET_ADMIN is enough to run after that.",
    ),
    Flag(
        "iptables-min-sync-period",
        FlagType.DURATION,
        "iptables.minSyncPeriod",
        help=f"The least time between two updates of the kernel (default 1s).{_SYNC_NOTE}",
    ),
    Flag(
        "iptables-sync-period",
        FlagType.DURATION,
        "iptables.syncPeriod",
        help=f"How often everything is checked and cleaned up even if nothing changed (default 30s).{_SYNC_NOTE}",
    ),
    Flag("log-flush-frequency", FlagType.DURATION, "logging.flushFrequency", beside_file=True),
    Flag("logging-format", FlagType.STRING, "logging.format", beside_file=True),
    Flag(
        "masquerade-all",
        FlagType.BOOL,
        "iptables.masqueradeAll",
        help="Source-NAT all traffic to cluster IPs, in whichever mode is chosen.",
    ),
    Flag("master", FlagType.STRING, help="Address of the API server; overrides the one of the kubeconfig."),
    Flag("metrics-bind-address", FlagType.IP_PORT, "metricsBindAddress"),
    Flag(
        "takeover",
        FlagType.BOOL,
        help="Have the proxy that serves this node end, and take its place; its rules stay throughout.",
    ),
    Flag("v", FlagType.INT32, "logging.verbosity", shorthand="v", beside_file=True),
    Flag("version", FlagType.VERSION, help="Print the version, and exit."),
    Flag(
        "vmodule",
        FlagType.VMODULE,
        "logging.vmodule",
        help="Verbosity for single source files, as pattern=N; text format only. Comes before that of the file.",
        beside_file=True,
    ),
    Flag(
        "write-config-to",
        FlagType.STRING,
        help="Write the configuration in effect to this file as YAML, and exit.",
    ),
)


_KLOG_FLAGS = (
    *("add-dir-header", "alsologtostderr", "log-backtrace-at", "log-dir", "log-file", "log-file-max-size"),
    *("logtostderr", "one-output", "skip-headers", "skip-log-headers", "stderrthreshold"),
)

REMOVED = {
    "cleanup-ipvs": "is gone from kube-proxy; --cleanup removes everything",
    "healthz-port": "is gone from kube-proxy; use --healthz-bind-address",
    "metrics-port": "is gone from kube-proxy; use --metrics-bind-address",
    "resource-container": "is gone from kube-proxy; whoever starts the proxy chooses its cgroup",
    **dict.fromkeys(_KLOG_FLAGS, "is gone from Kubernetes; the log goes to standard error"),
}
"""Flags of older versions, and what to do instead."""


@functools.cache
def flags() -> dict[str, Flag]:
    """Return every flag by name, in alphabetical order."""
    found = [*_OTHER_FLAGS, *(Flag(name, _TYPES[leaf(path).kind], path) for name, path in _FIELD_FLAGS.items())]
    return {flag.name: flag for flag in sorted(found, key=lambda flag: flag.name)}


def help_text(program: str = "kube-proxy") -> str:
    """Return what `--help` prints."""
    import textwrap

    lines = [
        "Watches Services and EndpointSlices and programs this node's kernel to balance their traffic.",
        "",
        "Usage:",
        f"  {program} [flags]",
        "",
        "Flags that set a field of the configuration file are ignored when --config is given, except",
        "--hostname-override and the logging flags.",
        "",
        "Flags:",
    ]
    for flag in flags().values():
        short = f"-{flag.shorthand}, " if flag.shorthand else "    "
        lines.append(f"  {short}--{flag.name} {flag.type.value}".rstrip())
        lines += textwrap.wrap(
            flag.description + _default_note(flag), 100, initial_indent=" " * 10, subsequent_indent=" " * 10
        )
    return "\n".join(lines) + "\n"


def _default_note(flag: Flag) -> str:
    if not flag.path or "default " in flag.description:
        return ""
    default = leaf(flag.path).default
    return f" (default {str(default).lower() if default is True else default})" if default else ""
