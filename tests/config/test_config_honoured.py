"""Every field and every flag: who honours it, or what is said of it when it is set."""

import ast
import functools
from pathlib import Path

import pytest

import kproxy
from kproxy.config import load_bytes
from kproxy.config.flag_table import flags
from kproxy.config.schema import attributes_of, leaves

SOURCE = Path(kproxy.__file__).parent
HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"

HONOURED = {
    "mode": "daemon",
    "iptables.masqueradeBit": "config/defaults.py",  # mode_settings, as all that several modes have
    "iptables.masqueradeAll": "config/defaults.py",
    "iptables.localhostNodePorts": "daemon",
    "iptables.syncPeriod": "config/defaults.py",
    "iptables.minSyncPeriod": "config/defaults.py",
    "ipvs.syncPeriod": "config/defaults.py",
    "ipvs.minSyncPeriod": "config/defaults.py",
    "ipvs.scheduler": "daemon",
    "ipvs.excludeCIDRs": "daemon",
    "ipvs.strictARP": "daemon",
    "ipvs.tcpTimeout": "daemon",
    "ipvs.tcpFinTimeout": "daemon",
    "ipvs.udpTimeout": "daemon",
    "nftables.masqueradeBit": "config/defaults.py",
    "nftables.masqueradeAll": "config/defaults.py",
    "nftables.syncPeriod": "config/defaults.py",
    "nftables.minSyncPeriod": "config/defaults.py",
    "hostnameOverride": "cli",
    "bindAddress": "daemon",
    "healthzBindAddress": "daemon",
    "metricsBindAddress": "daemon",
    "bindAddressHardFail": "daemon",
    "enableProfiling": "daemon",
    "detectLocalMode": "daemon",
    "detectLocal.bridgeInterface": "daemon",
    "detectLocal.interfaceNamePrefix": "daemon",
    "clusterCIDR": "daemon",
    "nodePortAddresses": "daemon",
    "clientConnection.kubeconfig": "cli",
    "clientConnection.qps": "cli",
    "clientConnection.burst": "cli",
    "configSyncPeriod": "sources",
    "conntrack.maxPerCore": "node",
    "conntrack.min": "node",
    "conntrack.tcpEstablishedTimeout": "node",
    "conntrack.tcpCloseWaitTimeout": "node",
    "conntrack.tcpBeLiberal": "node",
    "conntrack.udpTimeout": "node",
    "conntrack.udpStreamTimeout": "node",
    "oomScoreAdj": "daemon",
    "portRange": "daemon",
    "udpIdleTimeout": "daemon",
    "logging.format": "daemon",
    "logging.flushFrequency": "daemon",
    "logging.verbosity": "daemon",
    "logging.vmodule": "daemon",
    "logging.options.text.splitStream": "daemon",
    "logging.options.text.infoBufferSize": "daemon",
    "logging.options.json.splitStream": "daemon",
    "logging.options.json.infoBufferSize": "daemon",
    "featureGates": "sources",
}
"""The part of the source in which a field is read; which value does what there is for that part's tests."""

ANNOUNCED = {
    "winkernel.networkName": "x",
    "winkernel.sourceVip": "x",
    "winkernel.enableDSR": "true",
    "winkernel.rootHnsEndpointName": "x",
    "winkernel.forwardHealthCheckVip": "true",
    "windowsRunAsService": "true",
    "showHiddenMetricsForVersion": "'1.35'",
    "clientConnection.contentType": "text/plain",
    "clientConnection.acceptContentTypes": "text/plain",
}
"""Fields that this proxy can do nothing with, and a value that gets a warning."""

CHECKED = {"apiVersion", "kind"}
"""Fields that say what the file is."""

ABOUT_THE_RUN = {"cleanup", "config", "help", "init-only", "master", "takeover", "version", "write-config-to"}
"""Flags without a field, held by the tests of the command line."""


@functools.cache
def attributes_read(part: str) -> frozenset[str]:
    """Every attribute that the modules of a part look at."""
    path = SOURCE / part
    modules = [path] if path.suffix else sorted(path.rglob("*.py"))
    trees = [ast.parse(module.read_text(encoding="utf-8")) for module in modules]
    return frozenset(node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute))


def test_nothing_is_left_out() -> None:
    assert {path for path, _ in leaves()} == {*HONOURED, *ANNOUNCED, *CHECKED}
    assert not HONOURED.keys() & ANNOUNCED.keys()


@pytest.mark.parametrize(("path", "part"), HONOURED.items())
def test_fields_are_read_where_they_are_honoured(path: str, part: str) -> None:
    assert attributes_of(path)[-1] in attributes_read(part)


@pytest.mark.parametrize(("path", "value"), ANNOUNCED.items())
def test_fields_that_can_do_nothing_are_announced(path: str, value: str) -> None:
    body = value
    for name in reversed(path.split(".")):
        body = f"{{{name}: {body}}}"
    loaded = load_bytes((HEAD + body[1:-1]).encode())
    assert [warning.path for warning in loaded.warnings] == [path]


def test_flags_set_a_field_or_are_about_the_run() -> None:
    paths = {path for path, _ in leaves()}
    for name, flag in flags().items():
        assert flag.path in paths if flag.path else name in ABOUT_THE_RUN, name
