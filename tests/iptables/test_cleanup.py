"""`--cleanup`: all of ours goes, and nothing else."""

import pytest

from kproxy.backends.iptables import accounting
from kproxy.backends.iptables.cleanup import cleanup
from kproxy.backends.iptables.tool import Tool, Variant
from kproxy.kernel.processes import run
from kproxy.services.addresses import Family
from tests.iptables.kernel_state import backend, kernel_rules, manifest, tools_of, tracker_of, written
from tests.iptables.test_repair import iptables


async def test_everything_of_ours_goes_and_nothing_else(tools: dict[Family, Tool]) -> None:
    tool = tools[Family.IPV4]
    iptables(tool, "-t", "nat", "-N", "CNI-OTHER")
    iptables(tool, "-t", "nat", "-A", "PREROUTING", "-j", "CNI-OTHER")
    iptables(tool, "-A", "FORWARD", "-m", "comment", "--comment", "KUBE-FORWARD", "-j", "ACCEPT")
    before = {family: _contents(rules) for family, rules in kernel_rules(tools).items()}
    written(await backend(tools).sync_all((), tracker_of(manifest("loadbalancer"))))
    assert await cleanup()
    assert {family: _contents(rules) for family, rules in kernel_rules(tools).items()} == before
    assert accounting.read() == {}
    assert await cleanup() == []


def _contents(rules: dict[tuple[str, str], list[str]]) -> dict[tuple[str, str], list[str]]:
    """Without built-in chains that are empty: reading a legacy table makes it."""
    return {key: lines for key, lines in rules.items() if lines or key[1] == "CNI-OTHER"}


@pytest.mark.usefixtures("network_namespace", "lock_file")
async def test_both_variants_are_cleaned() -> None:
    for variant in Variant:
        written(await backend(tools_of(variant)).sync_all((), tracker_of(manifest("nodeport"))))
    assert len(await cleanup()) == 4
    for variant in Variant:
        for rules in kernel_rules(tools_of(variant)).values():
            assert not any("KUBE" in chain for _, chain in rules)


async def test_what_a_kubelet_or_somebody_elses_chain_uses_stays(tools: dict[Family, Tool]) -> None:
    tool = tools[Family.IPV4]
    written(await backend(tools).sync_all((), tracker_of(manifest("nodeport"))))
    iptables(tool, "-t", "mangle", "-N", "KUBE-KUBELET-CANARY")
    iptables(tool, "-t", "nat", "-N", "CNI-MASQ")
    iptables(tool, "-t", "nat", "-A", "CNI-MASQ", "-j", "KUBE-MARK-MASQ")
    await cleanup()
    rules = kernel_rules(tools)[Family.IPV4]
    ours = {chain for _, chain in rules if "KUBE" in chain}
    assert ours == {"KUBE-KUBELET-CANARY", "KUBE-FIREWALL", "KUBE-MARK-MASQ"}
    assert len(rules["nat", "KUBE-MARK-MASQ"]) == 1
    assert len(rules["filter", "KUBE-FIREWALL"]) == 1
    assert rules["filter", "INPUT"] == ["-A INPUT -j KUBE-FIREWALL"]


@pytest.mark.usefixtures("network_namespace", "lock_file")
async def test_nothing_is_made_where_there_is_nothing() -> None:
    assert await cleanup() == []
    assert not await run(["nft", "list", "tables"], time_limit=10)
