"""Edits change one value, and nothing else of the document."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kproxy.config import load_bytes
from kproxy.switch.configuration_edit import EditError, edit, get
from kproxy.switch.target import differences, edits_for

KUBEADM = """\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
bindAddress: 0.0.0.0   # a comment that stays
clientConnection:
  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
ipvs:
  strictARP: false
  excludeCIDRs: null
kind: KubeProxyConfiguration
mode: ""
nftables: null
"""


@pytest.mark.parametrize(
    ("text", "path", "value", "changed"),
    [
        (KUBEADM, ("mode",), "ipvs", ('mode: ""', 'mode: "ipvs"')),
        (KUBEADM, ("ipvs", "strictARP"), True, ("strictARP: false", "strictARP: true")),
        ("a: 1\n", ("mode",), "ipvs", ("a: 1", 'mode: "ipvs"\na: 1')),
        ("a: 1\nmode:\nb: 2\n", ("mode",), "x", ("mode:\n", 'mode: "x"\n')),
        ('{"a": 1}', ("mode",), "x", ('{"a"', '{"mode": "x", "a"')),
        ("{}", ("ipvs", "strictARP"), True, ("{}", '{"ipvs": {"strictARP": true}}')),
        ("mode: |-\n  ipvs\nb: 1\n", ("mode",), "x", ("mode: |-\n  ipvs\n", 'mode: "x"\n')),
    ],
)
def test_only_the_value_changes(text: str, path: tuple[str, ...], value: Any, changed: tuple[str, str]) -> None:
    before, after = changed
    edited = edit(text, {path: value})
    assert get(edited, path) == value
    if "|-" not in text:
        assert edited == text.replace(before, after, 1)


def test_a_section_that_is_null_is_filled() -> None:
    edited = edit(KUBEADM, {("nftables", "masqueradeAll"): True, ("mode",): "nftables"})
    assert yaml.safe_load(edited)["nftables"] == {"masqueradeAll": True}
    assert "# a comment that stays" in edited
    load_bytes(edited.encode())


@pytest.mark.parametrize("text", ["- 1\n", "a: [\n", "mode: {a: b", "", "ipvs: 5\n"])
def test_what_cannot_be_edited_is_refused(text: str) -> None:
    with pytest.raises(EditError):
        edit(text, {("ipvs", "strictARP"): True})


_SCALARS = st.one_of(st.booleans(), st.integers(-5, 5), st.none(), st.text(st.characters(codec="ascii"), max_size=8))
_KEYS = st.sampled_from(["mode", "ipvs", "iptables", "kind", "a", "b-c"])
_TREES = st.dictionaries(
    _KEYS, st.one_of(_SCALARS, st.lists(_SCALARS, max_size=3), st.dictionaries(_KEYS, _SCALARS, max_size=3))
)


@given(
    _TREES, st.booleans(), st.sampled_from([("mode",), ("ipvs", "mode"), ("a", "b-c")]), st.sampled_from(["x", True, 7])
)
def test_any_document_gets_exactly_that_field(
    tree: dict[str, Any], flow: bool, path: tuple[str, ...], value: Any
) -> None:
    text = yaml.safe_dump(tree, default_flow_style=flow)
    parent = tree.get(path[0])
    if len(path) == 2 and parent is not None and not isinstance(parent, dict):
        with pytest.raises(EditError):
            edit(text, {path: value})
        return
    wanted = {**tree, path[0]: value if len(path) == 1 else {**(parent or {}), path[1]: value}}
    assert yaml.safe_load(edit(text, {path: value})) == wanted


def test_masquerading_goes_along_with_the_mode() -> None:
    source = b"apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"
    iptables = load_bytes(source + b"mode: iptables\niptables: {masqueradeAll: true, masqueradeBit: 9}\n").configuration
    assert edits_for(iptables, "nftables", strict_arp=False) == {
        ("mode",): "nftables",
        ("nftables", "masqueradeAll"): True,
        ("nftables", "masqueradeBit"): 9,
    }
    assert edits_for(iptables, "ipvs", strict_arp=True) == {("mode",): "ipvs", ("ipvs", "strictARP"): True}
    assert any("primary" in words for words in differences(iptables, "nftables"))
    assert not differences(iptables, "iptables")
