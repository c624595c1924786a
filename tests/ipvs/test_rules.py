"""The fixed rules, beside those that kube-proxy v1.36.2 wrote for Services of many kinds, and the commands for them."""

from pathlib import Path

import pytest

from kproxy.backends.iptables.saved import Saved, parse
from kproxy.backends.ipvs.rule_tables import missing, removal
from kproxy.backends.ipvs.rules import JUMPS, FixedRules
from kproxy.services.addresses import Family, parse_network
from kproxy.services.local_traffic import LocalTraffic

RECORDED = Path(__file__).with_name("recorded_rules.txt")
CLUSTER_CIDR = LocalTraffic(parse_network("10.244.0.0/16"))


def rules(family: Family = Family.IPV4, local: LocalTraffic = CLUSTER_CIDR, *, everything: bool = False) -> FixedRules:
    return FixedRules(family, masquerade_mark=1 << 14, masquerade_all=everything, local_traffic=local)


def lines(table: str, made: FixedRules) -> list[str]:
    return [f"-A {chain} {rule}" for chain, found in made.tables()[table].items() for rule in found]


@pytest.mark.parametrize("table", ["nat", "filter"])
def test_every_rule_of_kube_proxy_is_there(table: str) -> None:
    recorded: dict[str, list[str]] = {}
    for line in RECORDED.read_text().splitlines():
        where, rule = line.split(" ", 1)
        if where == table:
            recorded.setdefault(rule.split()[1], []).append(rule)
    ours = lines(table, rules())
    for chain, expected in recorded.items():
        assert set(expected) <= set(ours), chain
    assert recorded


def cluster_ip_rule(made: FixedRules) -> str:
    return next(rule for rule in made.tables()["nat"]["KUBE-SERVICES"] if "cluster ip + port for masquerade" in rule)


def test_who_is_masqueraded_on_the_way_to_cluster_ips() -> None:
    assert cluster_ip_rule(rules()).startswith("! -s 10.244.0.0/16 -m comment")
    assert cluster_ip_rule(rules(local=LocalTraffic(interface="cni0"))).startswith("! -i cni0 -m comment")
    assert cluster_ip_rule(rules(local=LocalTraffic(interface_prefix="veth"))).startswith("! -i veth+ -m comment")
    assert "KUBE-CLUSTER-IP src,dst " in cluster_ip_rule(rules(local=LocalTraffic()))
    assert cluster_ip_rule(rules(everything=True)).startswith("-m comment")


def test_ipv6_has_sets_of_its_own() -> None:
    everything = lines("nat", rules(Family.IPV6)) + lines("filter", rules(Family.IPV6))
    assert not any("127.0.0.0" in rule for rule in everything)
    assert all("--match-set KUBE-6-" in rule for rule in everything if "--match-set" in rule)
    assert any("icmp6-port-unreachable" in rule for rule in everything)


def saved(commands: bytes) -> dict[str, Saved]:
    """What iptables-save would print after iptables-restore has read commands."""
    whole = parse(commands.replace(b"-I ", b"-A "))
    for table in whole.tables.values():
        for chain, found in table.items():
            if not chain.startswith(b"KUBE"):
                found.reverse()
    return dict.fromkeys(JUMPS, whole)


def test_nothing_is_written_when_nothing_is_missing() -> None:
    empty = {table: Saved({}) for table in JUMPS}
    commands = missing(rules(), empty)
    assert missing(rules(), saved(commands)) == b""


def test_only_what_is_missing_is_written() -> None:
    there = saved(missing(rules(), {table: Saved({}) for table in JUMPS}))
    there["nat"].table("nat")[b"KUBE-NODE-PORT"].pop()
    there["filter"].table("filter")[b"OUTPUT"].clear()
    commands = missing(rules(), there).decode().splitlines()
    assert [line for line in commands if line[0] == ":"] == [":KUBE-NODE-PORT - [0:0]"]
    assert [line for line in commands if line.startswith("-I")] == [f"-I OUTPUT {JUMPS['filter'][-1][1]}"]


def test_removal_leaves_others_rules() -> None:
    there = saved(missing(rules(), {table: Saved({}) for table in JUMPS}))
    there["filter"].table("filter")[b"INPUT"].append(b"-A INPUT -j DROP")
    chains = {table: list(found) for table, found in rules().tables().items()}
    commands = removal(there, chains).decode()
    assert "DROP" not in commands
    assert commands.count("\n-D ") == sum(map(len, JUMPS.values()))
    assert commands.count("\n-X ") == sum(map(len, chains.values()))
    assert removal({table: Saved({}) for table in JUMPS}, chains) == b""
