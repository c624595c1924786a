"""`kproxy trace` and `kproxy diff` as people and scripts meet them."""

import json
import subprocess
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from kproxy.cli.diff import diff
from kproxy.cli.trace import trace
from kproxy.inspect.desired import Where, read_desired
from kproxy.inspect.diff.repair import repair
from kproxy.inspect.node_mode import find_mode
from tests.inspect.diff.states import CONFIGURATION

app = typer.Typer()
app.command()(trace)
app.command()(diff)

SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"clusterIP": "10.96.0.10", "ports": [{"port": 80, "name": "http"}]},
}
SLICE = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
    "addressType": "IPv4",
    "ports": [{"name": "http", "port": 8080}],
    "endpoints": [{"addresses": ["10.244.1.10"], "nodeName": "node"}, {"addresses": ["10.244.2.10"]}],
}
NOBODY = ["--metrics", "127.0.0.1:1"]


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "web.yaml").write_text(yaml.safe_dump_all([SERVICE, SLICE]))
    (tmp_path / "config.yaml").write_text(CONFIGURATION.format(mode="nftables"))
    return ["--manifests", str(tmp_path / "m"), "--config", str(tmp_path / "config.yaml")]


@pytest.fixture
def node(network_namespace: None) -> None:
    for command in (
        "ip link set lo up",
        "ip link add uplink type veth peer name other",
        "ip link set uplink up",
        "ip addr add 192.168.77.2/24 dev uplink",
        "ip route add default via 192.168.77.1",
    ):
        subprocess.run(command.split(), check=True)


def program(options: list[str]) -> None:
    where = Where(manifests=Path(options[1]), config=Path(options[3]))
    state = read_desired(where, find_mode(where).settings)
    assert state is not None
    repair(state)


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


def test_views_that_agree(node: None, options: list[str]) -> None:
    program(options)
    code, output, _ = run("trace", "10.244.1.50", "web:http", *options, "-o", "json")
    found = json.loads(output)
    assert code == 0, found
    assert [view["name"] for view in found["views"]] == ["desired", "actual"]
    for view in found["views"]:
        endpoints = {o["endpoint"]: o["probability"] for o in view["outcomes"]}
        assert endpoints == {"10.244.1.10:8080": 0.5, "10.244.2.10:8080": 0.5}
    code, output, _ = run("trace", "node", "10.96.0.10:80", *options)
    assert code == 0
    assert "all views agree" in output
    assert "masqueraded" in output


def test_views_that_do_not(node: None, options: list[str]) -> None:
    program(options)
    subprocess.run(["nft", "add", "rule", "ip", "kube-proxy", "cluster-ips-check", "drop"], check=True)
    subprocess.run(["nft", "insert", "rule", "ip", "kube-proxy", "services", "drop"], check=True)
    code, output, _ = run("trace", "node", "web:80", *options)
    assert code == 1
    assert "disagreement" in output
    code, output, _ = run("diff", *options, "-o", "yaml")
    assert code == 1
    assert {d["object"] for d in yaml.safe_load(output)["differences"]} == {"drop"}
    code, output, _ = run("diff", "--repair", *options, "-o", "json")
    assert code == 0
    assert len(json.loads(output)["repaired"]) == 2
    assert run("diff", *options)[0] == 0


def test_without_a_cluster_the_kernel_is_asked(node: None, options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    program(options)
    code, output, _ = run("trace", "node", "10.96.0.10:80", *NOBODY, "-o", "json")
    found = json.loads(output)
    assert code == 0
    assert [view["name"] for view in found["views"]] == ["actual"]
    assert {o["endpoint"] for o in found["views"][0]["outcomes"]} == {"10.244.1.10:8080", "10.244.2.10:8080"}
    code, _, said = run("diff", *NOBODY)
    assert code == 2
    assert "--manifests" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["trace", "node", "nonsense"],
        ["trace", "node", "absent:80"],
        ["trace", "node", "web:absent"],
        ["trace", "some/pod", "web:80"],
        ["trace", "fd00::1", "10.96.0.10:80"],
        ["trace", "node", "web:80", "--mode", "none"],
        ["diff", "--mode", "userspace"],
    ],
)
def test_what_cannot_be_done_is_one_line(node: None, options: list[str], arguments: list[str]) -> None:
    code, output, said = run(*arguments, *options)
    assert (code, output) == (2, "")
    assert said.startswith(f"kproxy {arguments[0]}: ")
    assert said.count("\n") == 1


def test_a_configuration_that_is_none(node: None, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("kind: Something")
    code, _, said = run("trace", "node", "10.0.0.1:1", "--config", str(tmp_path / "c.yaml"))
    assert code == 2
    assert "c.yaml" in said
