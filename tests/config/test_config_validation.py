import pytest

from kproxy.config import ConfigError, load_bytes
from kproxy.config.feature_gates import enabled

HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"


def errors(body: str) -> list[str]:
    """The paths that are refused."""
    try:
        load_bytes((HEAD + body).encode())
    except ConfigError as error:
        return [problem.path for problem in error.problems]
    return []


def warnings(body: str) -> list[str]:
    return [problem.path for problem in load_bytes((HEAD + body).encode()).warnings]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ("bindAddress: localhost", "bindAddress"),
        ("healthzBindAddress: 0.0.0.0:0", "healthzBindAddress"),
        ("metricsBindAddress: ':10249'", "metricsBindAddress"),
        ("clusterCIDR: 10.0.0.0", "clusterCIDR"),
        ("clusterCIDR: '10.0.0.0/8, fd00::/8'", "clusterCIDR"),
        ("clusterCIDR: 10.0.0.0/8,11.0.0.0/8", "clusterCIDR"),
        ("clusterCIDR: 10.0.0.0/8,fd00::/8,fd01::/16", "clusterCIDR"),
        ("nodePortAddresses: [10.0.0.0/8, primary]", "nodePortAddresses[1]"),
        ("nodePortAddresses: [localhost]", "nodePortAddresses[0]"),
        ("detectLocalMode: BridgeInterface", "detectLocal.bridgeInterface"),
        ("detectLocalMode: InterfaceNamePrefix", "detectLocal.interfaceNamePrefix"),
        (
            "detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: a-name-too-long-}",
            "detectLocal.bridgeInterface",
        ),
        ("detectLocalMode: Bridge", "detectLocalMode"),
        ("iptables: {masqueradeBit: 32}", "iptables.masqueradeBit"),
        ("iptables: {masqueradeBit: -1}", "iptables.masqueradeBit"),
        ("nftables: {masqueradeBit: 32}", "nftables.masqueradeBit"),
        ("iptables: {syncPeriod: 500ms}", "iptables.syncPeriod"),
        ("iptables: {syncPeriod: -1s}", "iptables.syncPeriod"),
        ("iptables: {minSyncPeriod: -1s}", "iptables.minSyncPeriod"),
        ("mode: nftables\nnftables: {minSyncPeriod: 31s}", "nftables.syncPeriod"),
        ("mode: ipvs\nipvs: {minSyncPeriod: 31s}", "ipvs.syncPeriod"),
        ("mode: userspace\niptables: {minSyncPeriod: 31s}", "iptables.syncPeriod"),
        ("configSyncPeriod: -1s", "configSyncPeriod"),
        ("conntrack: {maxPerCore: -1}", "conntrack.maxPerCore"),
        ("conntrack: {min: 2147483648}", "conntrack.min"),
        ("conntrack: {tcpEstablishedTimeout: -1s}", "conntrack.tcpEstablishedTimeout"),
        ("conntrack: {tcpCloseWaitTimeout: 999ms}", "conntrack.tcpCloseWaitTimeout"),
        ("conntrack: {udpTimeout: -1s}", "conntrack.udpTimeout"),
        ("conntrack: {udpStreamTimeout: -1s}", "conntrack.udpStreamTimeout"),
        ("mode: ipvs\nipvs: {scheduler: roundrobin}", "ipvs.scheduler"),
        ("mode: ipvs\nipvs: {excludeCIDRs: [10.0.0.0/8, x]}", "ipvs.excludeCIDRs[1]"),
        ("mode: ipvs\nipvs: {tcpTimeout: -1s}", "ipvs.tcpTimeout"),
        ("mode: ipvs\nipvs: {tcpFinTimeout: -1s}", "ipvs.tcpFinTimeout"),
        ("mode: ipvs\nipvs: {udpTimeout: -1s}", "ipvs.udpTimeout"),
        ("mode: userspace\nportRange: 5-1", "portRange"),
        ("mode: userspace\nudpIdleTimeout: -1s", "udpIdleTimeout"),
        ("udpIdleTimeout: -1s", "udpIdleTimeout"),
        ("clientConnection: {burst: -1}", "clientConnection.burst"),
        ("oomScoreAdj: -1001", "oomScoreAdj"),
        ("showHiddenMetricsForVersion: '1.34'", "showHiddenMetricsForVersion"),
        ("logging: {format: xml}", "logging.format"),
        ("logging: {verbosity: -1}", "logging.verbosity"),
        ("logging: {flushFrequency: -1s}", "logging.flushFrequency"),
        ("logging: {format: json, vmodule: [{filePattern: a, verbosity: 1}]}", "logging.vmodule"),
        ("logging: {vmodule: [{verbosity: 1}]}", "logging.vmodule[0].filePattern"),
        ("logging: {vmodule: [{filePattern: 'a=b'}]}", "logging.vmodule[0].filePattern"),
        ("logging: {options: {json: {splitStream: true}}}", "logging.options.json.splitStream"),
        ("logging: {options: {text: {infoBufferSize: 64Ki}}}", "logging.options.text.infoBufferSize"),
        ("logging: {options: {text: {infoBufferSize: many}}}", "logging.options.text.infoBufferSize"),
        ("logging: {format: json}\nfeatureGates: {LoggingBetaOptions: false}", "logging.format"),
    ],
)
def test_what_is_refused(body: str, path: str) -> None:
    assert errors(body) == [path]


@pytest.mark.parametrize(
    "body",
    [
        "mode: ''\ndetectLocalMode: ''\nlogging: {format: ''}",
        "mode: nftables\nnodePortAddresses: [primary]",
        "mode: userspace\nportRange: 30000-30999\nudpIdleTimeout: 1s",
        "clusterCIDR: fd00::/48,10.0.0.0/8",
        "bindAddress: '::'",
        "healthzBindAddress: '::1'",
        "detectLocalMode: NodeCIDR",
        "detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: cni0}",
        "detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: cali}",
        "iptables: {masqueradeBit: 0, localhostNodePorts: false}",
        "mode: nftables\niptables: {localhostNodePorts: false, masqueradeBit: 14, minSyncPeriod: 1s, syncPeriod: 30s}",
        "mode: ipvs\niptables: {masqueradeBit: 5, masqueradeAll: true}\nipvs: {scheduler: mh, minSyncPeriod: 0s}",
        "conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, udpTimeout: 30s}",
        "clientConnection: {qps: -1, contentType: application/json}",
        "logging: {format: json, options: {json: {infoBufferSize: 0}}}",
        "featureGates: {LoggingAlphaOptions: true}\nlogging: {format: json, options: {json: {splitStream: true}}}",
        "featureGates: {AllAlpha: true}\nlogging: {options: {text: {infoBufferSize: 1.5Mi}}}",
    ],
)
def test_what_is_accepted_without_a_word(body: str) -> None:
    assert (errors(body), warnings(body)) == ([], [])


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ("winkernel: {enableDSR: true, networkName: l2}", ["winkernel.networkName", "winkernel.enableDSR"]),
        ("windowsRunAsService: true", ["windowsRunAsService"]),
        ("portRange: 1-5\nudpIdleTimeout: 250ms", ["portRange", "udpIdleTimeout"]),
        (
            "featureGates: {LoggingAlphaOptions: true}\nlogging: {options: {json: {splitStream: true}}}",
            ["logging.options.json.splitStream"],
        ),
        (
            "mode: nftables\niptables: {masqueradeAll: true, syncPeriod: 5s}",
            ["iptables.masqueradeAll", "iptables.syncPeriod"],
        ),
        ("mode: nftables\nipvs: {scheduler: bogus}", ["ipvs.scheduler"]),
        ("mode: userspace\niptables: {masqueradeBit: 3}\nnftables: {masqueradeBit: 3}", ["nftables.masqueradeBit"]),
        ("mode: ipvs\niptables: {syncPeriod: 5s}", ["iptables.syncPeriod"]),
        ("detectLocalMode: NodeCIDR\nclusterCIDR: 10.0.0.0/8", ["clusterCIDR"]),
        ("detectLocalMode: ClusterCIDR", ["detectLocalMode"]),
        ("detectLocal: {bridgeInterface: br0}", ["detectLocal.bridgeInterface"]),
        ("clientConnection: {contentType: text/plain}", ["clientConnection.contentType"]),
        ("showHiddenMetricsForVersion: '1.35'", ["showHiddenMetricsForVersion"]),
        (
            "featureGates: {Unheard: true, NFTablesProxyMode: false, ComponentFlagz: true, TopologyAwareHints: true}",
            ["featureGates.Unheard", "featureGates.NFTablesProxyMode", "featureGates.ComponentFlagz"],
        ),
    ],
)
def test_what_has_no_effect_is_named(body: str, paths: list[str]) -> None:
    assert warnings(body) == paths


def test_warnings_say_where_and_why() -> None:
    loaded = load_bytes((HEAD + "mode: nftables\nipvs:\n  scheduler: wlc\n").encode(), "f.yaml")
    assert [str(warning) for warning in loaded.warnings] == ["f.yaml:5: ipvs.scheduler: has no effect in nftables mode"]


def test_feature_gates_by_name_stage_and_default() -> None:
    assert enabled({}, "WatchListClient")
    assert not enabled({"WatchListClient": False}, "WatchListClient")
    assert not enabled({"AllBeta": False}, "WatchListClient")
    assert enabled({"AllBeta": False, "WatchListClient": True}, "WatchListClient")
    assert not enabled({}, "LoggingAlphaOptions")
    assert enabled({"NFTablesProxyMode": False}, "NFTablesProxyMode")
