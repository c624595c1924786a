"""Nodes that the stock kube-proxy runs: its rules compared by what they do."""

import json
from pathlib import Path

import msgspec
import pytest

from kproxy.inspect.diff import frontends, iptables_rules
from kproxy.inspect.diff.report import Difference
from kproxy.inspect.rulesets.iptables.saved import read_saved
from kproxy.inspect.rulesets.nft.ruleset import read_ruleset
from kproxy.inspect.rulesets.snapshot import Snapshot
from kproxy.services.addresses import Family
from tests.inspect import lab_node
from tests.inspect.diff.states import desired
from tests.inspect.rulesets.stock import FOLDER, read
from tests.iptables.kernel_state import DUMPS, manifest

SCENARIOS = sorted(path.stem for path in DUMPS.glob("*.yaml"))


def by_frontends(scenario: str, snapshot: Snapshot) -> list[Difference]:
    state = desired(manifest(scenario), "nftables", lab_node.NODE_ADDRESSES)
    way = lab_node.routes()
    found: list[Difference] = []
    for family in Family:
        comparison = frontends.Comparison(state, "nftables", family, snapshot, way)
        found += comparison.differences()
        assert not comparison.low_confidence
    return found


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nftables(scenario: str) -> None:
    snapshot, _ = read("nftables", f"{scenario}.initial")
    assert not by_frontends(scenario, snapshot)


def test_nftables_with_an_endpoint_that_has_gone() -> None:
    text = Path(FOLDER / "nftables" / "clusterip.initial.json").read_text()
    entries = json.loads(text)
    stale = json.loads(json.dumps(entries).replace("10.244.1.10", "10.244.1.99"))
    differences = by_frontends("clusterip", Snapshot(nft=read_ruleset(msgspec.json.encode(stale))))
    assert differences
    assert any("only actual, not desired, leads to 10.244.1.99:" in d.object for d in differences)
    assert any("only desired, not actual, leads to 10.244.1.10:" in d.object for d in differences)
    assert all(d.service.startswith("default/") for d in differences)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_iptables(scenario: str) -> None:
    snapshot, _ = read("iptables", f"{scenario}.initial")
    state = desired(manifest(scenario), "iptables")
    comparison = iptables_rules.Comparison(state, Family.IPV4, snapshot.iptables[Family.IPV4])
    # The mangle table was not saved.
    assert not [d for d in comparison.differences() if not d.place.endswith("mangle")]
    assert comparison.compared > 20


def test_iptables_by_what_rules_do() -> None:
    state = desired(manifest("clusterip"), "iptables")

    def differences(text: str) -> list[Difference]:
        comparison = iptables_rules.Comparison(state, Family.IPV4, {"iptables": read_saved(text)})
        return [d for d in comparison.differences() if not d.place.endswith("mangle")]

    text = "".join(
        part.partition("\n")[2]
        for part in (DUMPS / "clusterip.txt").read_text().split("### ")
        if part.startswith("iptables-save")
    )
    assert not differences(text)
    assert not differences(text.replace('"default/', '"renamed/'))
    uneven = differences(text.replace("0.50000000000", "0.90000000000"))
    assert uneven
    assert all(d.service for d in uneven)
