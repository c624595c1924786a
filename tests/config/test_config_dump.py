import json
from pathlib import Path

import pytest
import yaml

from kproxy.config import KubeProxyConfiguration, load_bytes, load_file, parse_command_line
from kproxy.config.defaults import effective
from kproxy.config.dump import to_configz, to_json, to_yaml

HERE = Path(__file__).parent


def test_the_defaults_are_written_as_kube_proxy_writes_them() -> None:
    expected = (HERE / "default-config.yaml").read_text()
    assert to_yaml(effective(KubeProxyConfiguration())) == expected
    assert to_yaml(parse_command_line([]).configuration) == expected
    assert to_yaml(load_file(HERE / "default-config.yaml").configuration) == expected


def test_optional_fields_appear_when_set() -> None:
    text = to_yaml(
        load_bytes(
            b"apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"
            b"featureGates: {LoggingAlphaOptions: true}\nwindowsRunAsService: true\nclientConnection: {qps: 2.5}\n"
            b"ipvs: {excludeCIDRs: []}\nnodePortAddresses: [10.0.0.0/8]\nhostnameOverride: '12'\n"
            b"healthzBindAddress: '[::1]:5'\n"
            b"logging: {vmodule: [{filePattern: a*, verbosity: 2}], options: {text: {splitStream: true}}}\n"
        ).configuration
    )
    for piece in (
        "featureGates:\n  LoggingAlphaOptions: true\n",
        "windowsRunAsService: true\n",
        "  qps: 2.5\n",
        "  excludeCIDRs: []\n",
        "nodePortAddresses:\n- 10.0.0.0/8\n",
        'hostnameOverride: "12"\n',
        "healthzBindAddress: '[::1]:5'\n",
        "  vmodule:\n  - filePattern: a*\n    verbosity: 2\n",
        "      splitStream: true\n",
    ):
        assert piece in text


@pytest.mark.parametrize("name", ["samples/iptables.yaml", "samples/ipvs.yaml", "default-config.yaml"])
def test_what_is_written_loads_to_the_same(name: str) -> None:
    configuration = load_file(HERE / name).configuration
    assert load_bytes(to_yaml(configuration).encode()).configuration == configuration
    assert load_bytes(to_json(configuration)).configuration == configuration


def test_configz_shows_the_configuration_under_its_group() -> None:
    shown = json.loads(to_configz(effective(KubeProxyConfiguration())))
    assert list(shown) == ["kubeproxy.config.k8s.io"]
    assert shown["kubeproxy.config.k8s.io"]["iptables"]["syncPeriod"] == "30s"
    assert shown["kubeproxy.config.k8s.io"]["nodePortAddresses"] is None
    assert shown["kubeproxy.config.k8s.io"] == yaml.safe_load((HERE / "default-config.yaml").read_text())
