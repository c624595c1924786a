"""A configuration explained field by field, and the reference of all fields."""

from pathlib import Path

import pytest

from kproxy.config import load_bytes, parse_command_line
from kproxy.config.explanation import Explanation, explain
from kproxy.config.reference import reference
from kproxy.config.schema import leaves

HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"
DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"


def explained(body: str) -> dict[str, Explanation]:
    return {field.path: field for field in explain(load_bytes((HEAD + body).encode(), "f.yaml"))}


@pytest.mark.parametrize("mode", ["iptables", "ipvs", "nftables", "userspace"])
def test_every_field_is_explained_in_every_mode(mode: str) -> None:
    fields = explained(f"mode: {mode}\n")
    assert list(fields) == [path for path, _ in leaves()]
    for field in fields.values():
        assert field.effect
        section = field.path.partition(".")[0]
        if section in {"iptables", "ipvs", "nftables"}:
            assert field.has_effect or field.effect == f"has no effect in {mode} mode"
        assert field.has_effect or section != mode
    assert {path for path, field in fields.items() if path.startswith("iptables.") and field.has_effect} == {
        "iptables": {path for path in fields if path.startswith("iptables.")},
        "ipvs": {"iptables.masqueradeBit", "iptables.masqueradeAll"},
        "nftables": set(),
        "userspace": {path for path in fields if path.startswith("iptables.")},
    }[mode]


def test_value_origin_and_effect() -> None:
    fields = explained(
        "mode: ipvs\nipvs: {scheduler: sh}\nclientConnection:\n  qps: 50\nnodePortAddresses: [primary]\n"
    )
    assert fields["ipvs.scheduler"].value == "sh"
    assert str(fields["ipvs.scheduler"].origin) == "f.yaml:4"
    assert fields["ipvs.scheduler"].has_effect
    assert fields["clientConnection.qps"].value == 50
    assert fields["nodePortAddresses"].value == ["primary"]
    assert fields["conntrack.maxPerCore"].origin is None
    assert fields["nftables.masqueradeBit"].effect == "has no effect in ipvs mode"
    assert fields["iptables.masqueradeBit"].has_effect


def test_gates_are_explained_one_by_one() -> None:
    fields = explained("featureGates:\n  WatchListClient: false\n  Unheard: true\n")
    assert fields["featureGates.WatchListClient"].has_effect
    assert str(fields["featureGates.WatchListClient"].origin) == "f.yaml:4"
    assert "not a feature gate of this proxy" in fields["featureGates.Unheard"].effect
    assert "featureGates" not in fields


def test_flags_are_origins_too() -> None:
    command_line = parse_command_line(["--proxy-mode=nftables", "--feature-gates=WatchListClient=false"])
    fields = {field.path: field for field in explain(command_line)}
    assert str(fields["mode"].origin) == "--proxy-mode"
    assert str(fields["featureGates.WatchListClient"].origin) == "--feature-gates"


def test_the_reference_in_the_documentation_is_that_of_the_types() -> None:
    """Mended by putting what `kproxy config reference` prints between the two marks."""
    text = DOCUMENT.read_text(encoding="utf-8")
    _, begin, rest = text.partition("<!-- begin of what `kproxy config reference` prints -->\n")
    written, end, _ = rest.partition("<!-- end -->")
    assert begin
    assert end
    assert written.strip() == reference().strip()


def test_the_reference_names_every_field_with_its_flag() -> None:
    lines = reference().splitlines()
    for path, _ in leaves():
        assert any(line.startswith(f"| `{path}` |") for line in lines), path
    assert "| `mode` | `iptables`, `ipvs`, `nftables`, `userspace` | `iptables` | `--proxy-mode` |" in reference()
    assert all(line.count(" | ") == 5 for line in lines[2:])
    modes = {line.split(" | ")[0].strip("| `"): line.split(" | ")[4] for line in lines[2:]}
    assert "| `ipvs.syncPeriod` | duration | `30s` |" in reference()
    assert "| `udpIdleTimeout` | duration | `10s` |" in reference()
    assert modes["iptables.masqueradeAll"] == "iptables, ipvs, userspace"
    assert modes["udpIdleTimeout"] == "userspace"
    assert modes["detectLocal.bridgeInterface"] == "all"
    assert modes["winkernel.networkName"] == "none"
