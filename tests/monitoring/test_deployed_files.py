"""`deploy/monitoring` is what the code makes; the Prometheus operator and kustomize take it."""

import json
from pathlib import Path

import pytest
import yaml

from kproxy.monitoring.artifacts import artifacts
from kproxy.monitoring.settings import Settings
from tests.deploy.conftest import render as render  # a fixture: kubectl, fetched once
from tests.deploy.rendering import KUSTOMIZE, Renderer
from tests.monitoring.conftest import DEPLOYED
from tests.monitoring.test_dashboard import CHECKS

MADE = artifacts(Settings())


@pytest.mark.parametrize("name", MADE)
def test_the_file_is_what_the_code_makes(name: str) -> None:
    assert (DEPLOYED / name).read_text() == MADE[name], "run: kproxy monitoring write deploy/monitoring"


def test_nothing_else_is_there() -> None:
    assert {path.name for path in DEPLOYED.iterdir()} == {*MADE, "kustomization.yaml"}


def test_the_operator_takes_every_object() -> None:
    kinds = []
    for name, text in MADE.items():
        if name in {"rules.yaml", "dashboard.json"}:
            continue
        for manifest in yaml.safe_load_all(text):
            kinds.append(manifest["kind"])
            if manifest["apiVersion"] == "monitoring.coreos.com/v1":
                CHECKS[manifest["kind"]](manifest)
    assert sorted(kinds) == ["PodMonitor", "PrometheusRule", "Service", "ServiceMonitor"]


def test_the_object_has_the_files_rules() -> None:
    (manifest,) = yaml.safe_load_all(MADE["prometheus-rule.yaml"])
    assert manifest["spec"] == yaml.safe_load(MADE["rules.yaml"])


def test_monitors_find_what_is_deployed(render: Renderer) -> None:
    monitoring = render.kustomize(DEPLOYED)
    proxy = render.kustomize(KUSTOMIZE / "overlays" / "nftables")["DaemonSet/kproxy"]
    monitor = monitoring["PodMonitor/kproxy"]["spec"]
    template = proxy["spec"]["template"]
    assert monitor["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert monitor["namespaceSelector"]["matchNames"] == [proxy["metadata"]["namespace"]]
    ports = [port["name"] for container in template["spec"]["containers"] for port in container["ports"]]
    assert monitor["podMetricsEndpoints"][0]["port"] in ports
    # The label that becomes the job, which the rules select.
    assert template["metadata"]["labels"][monitor["jobLabel"]] in Settings().job.split("|")


def test_the_stock_proxys_monitor_finds_its_service() -> None:
    service, monitor = yaml.safe_load_all(MADE["kube-proxy-service-monitor.yaml"])
    labels = service["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert monitor["spec"]["endpoints"][0]["port"] in [port["name"] for port in service["spec"]["ports"]]
    assert labels[monitor["spec"]["jobLabel"]] in Settings().job.split("|")


def test_grafanas_sidecar_finds_the_dashboard(render: Renderer) -> None:
    config = render.kustomize(DEPLOYED)["ConfigMap/kube-proxy-dashboard"]
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(config["data"]["kube-proxy.json"]) == json.loads(MADE["dashboard.json"])


def test_names_in_the_documentation_are_those_of_the_rules() -> None:
    text = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text()
    for alert in yaml.safe_load(MADE["rules.yaml"])["groups"]:
        for rule in alert["rules"]:
            if "alert" in rule:
                assert f"`{rule['alert']}`" in text
