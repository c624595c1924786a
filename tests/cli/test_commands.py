"""The commands' own behaviour: help, versions, exit statuses, and rendering."""

import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
MANIFEST = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.96.0.10, ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.244.1.10]}]
"""


def run(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [str(BIN / command), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env={"COLUMNS": "100"})


@pytest.mark.parametrize(
    "command", ["run", "render", "apiserver", "demo", "lab", "cleanup", "status", "doctor", "switch", "trace", "diff"]
)
def test_every_command_has_help_with_an_example(command: str) -> None:
    shown = run("kproxy", command, "--help")
    assert shown.returncode == 0
    assert f"kproxy {command}" in shown.stdout.partition("Example")[2]


def test_kube_proxy_help_names_the_flags() -> None:
    shown = run("kube-proxy", "--help").stdout
    for flag in ("--config", "--cleanup", "--hostname-override", "--proxy-mode", "--write-config-to", "--v"):
        assert flag in shown


def test_versions() -> None:
    assert run("kube-proxy", "--version").stdout.startswith("Kubernetes v1.")
    assert run("kproxy", "--version").stdout.startswith("kproxy ")


def test_an_unknown_flag_is_named_with_the_nearest() -> None:
    shown = run("kube-proxy", "--proxy-mod=nftables")
    assert shown.returncode == 1
    assert "--proxy-mode" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_a_missing_file_is_one_line() -> None:
    shown = run("kube-proxy", "--config", "/nonexistent")
    assert shown.returncode == 1
    assert shown.stderr.count("\n") == 1
    assert "/nonexistent: cannot be read: No such file or directory" in shown.stderr


def test_write_config_to_writes_what_can_be_read(tmp_path: Path) -> None:
    written = tmp_path / "written.yaml"
    assert run("kube-proxy", "--proxy-mode=nftables", f"--write-config-to={written}").returncode == 0
    again = tmp_path / "again.yaml"
    assert run("kube-proxy", f"--config={written}", f"--write-config-to={again}").returncode == 0
    assert again.read_text() == written.read_text()
    assert "mode: nftables" in written.read_text()


def test_render_needs_no_privileges_and_touches_nothing(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(MANIFEST)
    shown = run("kproxy", "render", "--manifests", str(tmp_path), "--mode", "nftables")
    assert shown.returncode == 0, shown.stderr
    assert "elements = { 10.96.0.10 . tcp . 80 . 0x00000000 : 10.244.1.10 . 8080 }" in shown.stdout
    assert shown.stdout.count("table ip") == 2


def test_render_tells_what_it_left_out(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(MANIFEST.replace("10.244.1.10", "nonsense"))
    shown = run("kproxy", "render", "--manifests", str(tmp_path))
    assert shown.returncode == 1
    assert "left out: EndpointSlice default/web-1: endpoints[0].addresses: nonsense is not an IPv4" in shown.stderr
