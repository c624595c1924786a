"""Rules that have no known meaning: said so, never guessed, and only where the packet gets to them."""

import json

import pytest

from kproxy.inspect.rulesets.iptables.saved import read_saved
from kproxy.inspect.rulesets.nft.ruleset import read_ruleset
from kproxy.inspect.rulesets.packet import Packet
from kproxy.inspect.rulesets.snapshot import Snapshot
from kproxy.inspect.trace.actual_view import Evaluator
from kproxy.inspect.trace.report import View
from kproxy.services.addresses import Family
from tests.inspect import lab_node

WAY = lab_node.routes()
POD_X = bytes((10, 244, 1, 50))
SERVICE = bytes((10, 96, 0, 10))


def view(snapshot: Snapshot) -> View:
    packet = Packet(source=POD_X, destination=SERVICE, protocol="TCP", port=80, input_interface="cni0", bridged=False)
    return Evaluator(snapshot, WAY).view(packet)


def nft(*rules: list[object]) -> Snapshot:
    where = {"family": "ip", "table": "t"}
    hook = {"type": "filter", "hook": "prerouting", "prio": 0, "policy": "accept"}
    entries: list[object] = [{"table": {"family": "ip", "name": "t"}}, {"chain": {**where, "name": "c", **hook}}]
    entries += [{"rule": {**where, "chain": "c", "handle": i, "expr": rule}} for i, rule in enumerate(rules, 1)]
    return Snapshot(nft=read_ruleset(json.dumps({"nftables": entries}).encode()))


def iptables(*rules: str) -> Snapshot:
    lines = ["*nat", ":PREROUTING ACCEPT [0:0]", *(f"-A PREROUTING {rule}" for rule in rules), "COMMIT"]
    return Snapshot(iptables={Family.IPV4: {"iptables": read_saved("\n".join(lines))}})


TO_PORT_80 = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 80}}
TO_PORT_81 = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 81}}
UNKNOWN = {"match": {"op": "==", "left": {"meta": {"key": "cgroup"}}, "right": 7}}
DROP = {"drop": None}
_MASKED = {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["fin", "syn", "rst", "ack"]]}
FLAGS = {"match": {"op": "==", "left": _MASKED, "right": "syn"}}


@pytest.mark.parametrize(
    "snapshot",
    [
        nft([TO_PORT_80, UNKNOWN, DROP]),
        nft([FLAGS, UNKNOWN, DROP]),
        nft([["no", "object"], DROP]),
        nft([{"quantum": {"spin": "up"}}, DROP]),
        nft([{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "sport"}}, "right": 1}}, DROP]),
        iptables("-p tcp -m tcp --dport 80 -m time --timestart 09:00:00 -j DNAT --to-destination 10.0.0.1:1"),
        iptables("-p tcp -j CONNMARK --save-mark"),
        iptables("-m set --match-set nowhere dst,dst -j DROP"),
    ],
)
def test_a_rule_that_is_reached_lowers_the_confidence_and_is_shown(snapshot: Snapshot) -> None:
    found = view(snapshot)
    assert found.confidence == "low"
    (doubt,) = found.not_understood
    assert doubt.rule
    assert doubt.reason
    assert [outcome.fate for outcome in found.outcomes] == ["unchanged"]


@pytest.mark.parametrize(
    "snapshot",
    [
        nft([TO_PORT_81, UNKNOWN, DROP]),
        nft([UNKNOWN, TO_PORT_81, DROP]),
        iptables("-p udp -m time --timestart 09:00:00 -j DROP"),
        iptables("-d 10.96.0.11/32 -m bpf --bytecode 4,48 -j DROP"),
        nft([{"match": {"op": "==", "left": {"payload": {"protocol": "icmp", "field": "type"}}, "right": 8}}, DROP]),
        nft([FLAGS, UNKNOWN, {"counter": {"packets": 0, "bytes": 0}}, {"log": {"prefix": "seen"}}]),
        nft([FLAGS, {"limit": {"rate": 100, "per": "second", "inv": True}}, DROP]),
        nft([FLAGS, {"mangle": {"key": {"tcp option": {"name": "maxseg", "field": "size"}}, "value": 1400}}]),
        iptables("-m time --timestart 09:00:00 -j LOG"),
        iptables("-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"),
    ],
)
def test_a_rule_about_other_packets_or_that_decides_nothing_does_not_matter(snapshot: Snapshot) -> None:
    found = view(snapshot)
    assert found.confidence == "high"
    assert not found.not_understood


def test_a_part_that_could_not_be_read_lowers_the_confidence() -> None:
    found = view(Snapshot(unread=("nftables: nft: cannot be run",)))
    assert found.confidence == "low"
    assert "not read: nftables: nft: cannot be run" in found.notes


def test_chains_that_call_one_another_in_a_circle_end() -> None:
    text = "*nat\n:PREROUTING ACCEPT [0:0]\n:A - [0:0]\n-A PREROUTING -j A\n-A A -j A\nCOMMIT\n"
    found = view(Snapshot(iptables={Family.IPV4: {"iptables": read_saved(text)}}))
    assert "circle" in found.not_understood[0].reason
