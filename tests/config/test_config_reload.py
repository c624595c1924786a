"""What each changed field asks of a running proxy."""

import pytest

from kproxy.config import KubeProxyConfiguration, load_bytes
from kproxy.config.reload import Part, compare
from kproxy.config.schema import leaves, value_at

HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"


EVERYTHING_ELSE = """\
mode: userspace
bindAddress: '::1'
iptables: {masqueradeBit: 1, masqueradeAll: true, localhostNodePorts: false, syncPeriod: 9s, minSyncPeriod: 2s}
ipvs:
  {syncPeriod: 9s, minSyncPeriod: 1s, scheduler: sh, excludeCIDRs: [10.0.0.0/8], strictARP: true, tcpTimeout: 1s,
   tcpFinTimeout: 1s, udpTimeout: 1s}
nftables: {masqueradeBit: 1, masqueradeAll: true, syncPeriod: 9s, minSyncPeriod: 1s}
winkernel: {networkName: x, sourceVip: x, enableDSR: true, rootHnsEndpointName: x, forwardHealthCheckVip: true}
hostnameOverride: x
bindAddressHardFail: true
enableProfiling: true
showHiddenMetricsForVersion: '1.35'
detectLocalMode: NodeCIDR
detectLocal: {bridgeInterface: x, interfaceNamePrefix: x}
clusterCIDR: 10.0.0.0/8
nodePortAddresses: [primary]
clientConnection: {kubeconfig: x, acceptContentTypes: json, contentType: json, qps: 1, burst: 1}
configSyncPeriod: 1m
conntrack:
  {maxPerCore: 1, min: 1, tcpEstablishedTimeout: 1s, tcpCloseWaitTimeout: 1s, tcpBeLiberal: true, udpTimeout: 1s,
   udpStreamTimeout: 1s}
oomScoreAdj: 0
portRange: 1-5
udpIdleTimeout: 1s
logging:
  flushFrequency: 1s
  verbosity: 1
  vmodule: [{filePattern: a, verbosity: 1}]
  options: {text: {splitStream: true, infoBufferSize: 1Ki}, json: {splitStream: true, infoBufferSize: 1Ki}}
featureGates: {LoggingAlphaOptions: true, WatchListClient: false}
windowsRunAsService: true
"""
"""Each field with another value than its default, but for those that cannot have one beside the rest."""


def load(body: str) -> KubeProxyConfiguration:
    return load_bytes((HEAD + body).encode()).configuration


def test_the_same_configuration_asks_for_nothing() -> None:
    reload = compare(load("mode: ipvs"), load("# said otherwise\nmode: 'ipvs'\nipvs: {syncPeriod: 30s}"))
    assert reload.changes == ()
    assert reload.parts == frozenset()


@pytest.mark.parametrize(
    ("before", "after", "parts"),
    [
        ("", "iptables: {masqueradeBit: 3}", {Part.BACKEND}),
        ("", "iptables: {syncPeriod: 10s, minSyncPeriod: 2s}", {Part.SYNC_TIMING}),
        ("", "iptables: {localhostNodePorts: false}", {Part.BACKEND}),
        ("", "nodePortAddresses: [10.0.0.0/8]", {Part.NODE_ADDRESSES, Part.BACKEND}),
        ("mode: nftables", "mode: nftables\nnodePortAddresses: [10.0.0.0/8]", {Part.NODE_ADDRESSES}),
        (
            "mode: userspace",
            "mode: userspace\nnodePortAddresses: [10.0.0.0/8]",
            {Part.NODE_ADDRESSES, Part.BACKEND},
        ),
        ("mode: nftables", "mode: nftables\nnftables: {masqueradeAll: true}", {Part.BACKEND}),
        ("mode: ipvs", "mode: ipvs\nipvs: {scheduler: sh, strictARP: true}", {Part.BACKEND}),
        ("mode: userspace", "mode: userspace\nportRange: 1-5\nudpIdleTimeout: 1s", {Part.BACKEND}),
        ("", "clusterCIDR: 10.0.0.0/8", {Part.LOCAL_TRAFFIC}),
        ("", "detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: cni0}", {Part.LOCAL_TRAFFIC}),
        ("", "bindAddress: 192.0.2.1", {Part.NODE_ADDRESSES}),
        ("", "bindAddress: '::'", {Part.NODE_ADDRESSES, Part.HEALTH_SERVER, Part.METRICS_SERVER}),
        ("", "healthzBindAddress: 127.0.0.1:1", {Part.HEALTH_SERVER}),
        ("", "metricsBindAddress: 127.0.0.1:1", {Part.METRICS_SERVER}),
        ("", "enableProfiling: true", {Part.METRICS_SERVER}),
        ("", "bindAddressHardFail: true", set()),
        ("", "conntrack: {maxPerCore: 5}", {Part.CONNTRACK}),
        ("", "conntrack: {tcpBeLiberal: true}", {Part.CONNTRACK, Part.BACKEND}),
        ("mode: nftables", "mode: nftables\nconntrack: {tcpBeLiberal: true}", {Part.CONNTRACK}),
        ("", "oomScoreAdj: 0", {Part.OOM_SCORE}),
        ("", "clientConnection: {qps: 50, burst: 100}", {Part.API_CLIENT}),
        ("", "configSyncPeriod: 1m", {Part.API_CLIENT}),
        ("", "featureGates: {WatchListClient: false}", {Part.API_CLIENT}),
        ("", "featureGates: {WatchListClient: true}", set()),
        ("", "featureGates: {LoggingAlphaOptions: true}", set()),
        ("", "logging: {verbosity: 3}", {Part.LOGGING}),
        ("", "mode: ipvs", {Part.BACKEND, Part.SYNC_TIMING}),
        ("", "hostnameOverride: other", {Part.PROCESS}),
        ("", "clientConnection: {kubeconfig: /k}", {Part.PROCESS}),
    ],
)
def test_what_a_change_asks_for(before: str, after: str, parts: set[Part]) -> None:
    assert compare(load(before), load(after)).parts == parts
    assert compare(load(after), load(before)).parts == parts


def test_what_has_no_effect_asks_for_nothing_and_says_why() -> None:
    reload = compare(load("mode: nftables"), load("mode: nftables\nipvs: {scheduler: sh}\nportRange: 1-5"))
    assert {change.path: change.reason for change in reload.changes} == {
        "ipvs.scheduler": "has no effect in nftables mode",
        "portRange": "has no effect in nftables mode; only userspace mode takes ports",
    }
    assert reload.parts == frozenset()


def test_an_exit_has_reasons() -> None:
    reload = compare(load(""), load("hostnameOverride: other\nlogging: {verbosity: 1}"))
    (reason,) = reload.exit_reasons
    assert reason.startswith("hostnameOverride: which node this is")
    (change,) = (change for change in reload.changes if change.path == "logging.verbosity")
    assert (change.before, change.after) == (0, 1)
    assert change.parts == {Part.LOGGING}
    assert str(change) == "logging.verbosity: 0 -> 1"


def test_every_field_that_can_differ_is_compared() -> None:
    """A configuration that differs in all of them, of which each is reported."""
    other = load(EVERYTHING_ELSE)
    fixed = {"apiVersion", "kind", "logging.format"}
    changed = {change.path for change in compare(load(""), other).changes}
    assert changed == {path for path, _ in leaves()} - fixed
    assert all(value_at(load(""), path) == value_at(other, path) for path in fixed)
