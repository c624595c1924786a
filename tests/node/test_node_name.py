"""The rules that kubelet and kube-proxy share."""

import socket
from pathlib import Path

import pytest

from kproxy.node import node_name as module
from kproxy.node.node_name import NodeNameError, node_name


@pytest.mark.parametrize(
    ("override", "name"), [("worker-1", "worker-1"), (" Worker-1.Example.COM\n", "worker-1.example.com")]
)
def test_the_override_is_trimmed_and_in_lower_case(override: str, name: str) -> None:
    assert node_name(override) == name


def test_without_one_it_is_the_hosts_name() -> None:
    assert node_name("") == socket.gethostname().strip().lower()


def test_a_blank_override_is_an_error_and_not_the_hosts_name() -> None:
    with pytest.raises(NodeNameError, match="hostnameOverride is blank"):
        node_name(" \t")


def test_a_host_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hostname = tmp_path / "hostname"
    hostname.write_text("\n")
    monkeypatch.setattr(module, "_HOSTNAME", hostname)
    with pytest.raises(NodeNameError, match="set hostnameOverride"):
        node_name("")
