"""What the configuration changes in the rules, in the node's sysctls, and in what is counted."""

import re
import socket
from pathlib import Path

import pytest

from kproxy.backends.interface import BackendError
from kproxy.backends.iptables import localnet
from kproxy.backends.iptables.accounting import LOCALHOST_ACCEPTED
from kproxy.backends.iptables.backend import IptablesBackend, IptablesOptions
from kproxy.backends.iptables.tool import Tool
from kproxy.kernel.processes import run
from kproxy.services.addresses import Family, Network, parse_network
from kproxy.services.local_traffic import LocalTraffic
from tests.iptables.kernel_state import backend, kernel_rules, tracker_of, written
from tests.iptables.test_changes import some_services
from tests.services.builders import slice_of


async def rules_with(tools: dict[Family, Tool], **options: object) -> dict[tuple[str, str], list[str]]:
    """IPv4's; the second sync of each finds nothing to do."""
    tracker, running = tracker_of(some_services(2)), backend(tools, **options)
    running.set_node_port_addresses([bytes((192, 0, 2, 1))])
    written(await running.sync_all((), tracker))
    assert written(await running.sync_all((), tracker)) == 0
    return kernel_rules(tools)[Family.IPV4]


def targets(rules: list[str]) -> list[str]:
    return [rule.split(" -j ")[1] for rule in rules]


def networks(*texts: str) -> tuple[Network, ...]:
    return tuple(network for text in texts if (network := parse_network(text)))


async def test_the_mark(tools: dict[Family, Tool]) -> None:
    rules = await rules_with(tools, masquerade_mark=1 << 5)
    assert rules["nat", "KUBE-MARK-MASQ"] == ["-A KUBE-MARK-MASQ -j MARK --set-xmark 0x20/0x20"]
    assert rules["nat", "KUBE-POSTROUTING"][:2] == [
        "-A KUBE-POSTROUTING -m mark ! --mark 0x20/0x20 -j RETURN",
        "-A KUBE-POSTROUTING -j MARK --set-xmark 0x20/0x0",
    ]
    assert "MASQUERADE --random-fully" in rules["nat", "KUBE-POSTROUTING"][2]
    assert "--mark 0x20/0x20 -j ACCEPT" in rules["filter", "KUBE-FORWARD"][1]


async def test_masquerade_all(tools: dict[Family, Tool]) -> None:
    def masquerading(rules: dict[tuple[str, str], list[str]]) -> set[str]:
        chains = [lines for (_, chain), lines in rules.items() if chain.startswith("KUBE-SVC-")]
        return {" ".join(lines[0].split()[2:6]) for lines in chains if lines[0].endswith("-j KUBE-MARK-MASQ")}

    assert masquerading(await rules_with(tools)) == {"! -s 10.244.0.0/16 -d"}
    assert masquerading(await rules_with(tools, masquerade_all=True)) == {
        "-d 10.96.0.1/32 -p tcp",
        "-d 10.96.0.2/32 -p tcp",
    }


async def test_invalid_packets_are_let_through_where_tcp_is_liberal(tools: dict[Family, Tool]) -> None:
    assert "INVALID" in str((await rules_with(tools))["filter", "KUBE-FORWARD"])
    assert "INVALID" not in str((await rules_with(tools, drop_invalid=False))["filter", "KUBE-FORWARD"])


@pytest.mark.parametrize(
    ("options", "reachable"),
    [
        ({}, True),
        ({"localhost_node_ports": False}, False),
        ({"primary_node_ports": True}, False),
        ({"node_port_networks": networks("192.0.2.0/24")}, False),
        ({"node_port_networks": networks("192.0.2.0/24", "127.0.0.0/8")}, True),
        ({"node_port_networks": networks("2001:db8::/32")}, True),
    ],
)
async def test_node_ports_on_localhost(options: dict[str, object], reachable: bool, tools: dict[Family, Tool]) -> None:
    rules = await rules_with(tools, **options)
    assert localnet.ROUTE_LOCALNET.read_text(encoding="ascii").strip() == str(int(reachable))
    # With route_localnet, only this keeps neighbours from what listens on 127.0.0.1.
    assert (("filter", "KUBE-FIREWALL") in rules) is reachable
    assert (LOCALHOST_ACCEPTED in str(rules["nat", "KUBE-NODEPORTS"])) is reachable


def test_a_sysctl_that_cannot_be_set_is_named(
    tools: dict[Family, Tool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(localnet, "ROUTE_LOCALNET", tmp_path / "missing" / "route_localnet")
    with pytest.raises(BackendError, match=r"route_localnet to be 1, which failed: No such file.*set .*: false"):
        IptablesBackend(tuple(Family), IptablesOptions(), tools)
    IptablesBackend(tuple(Family), IptablesOptions(localhost_node_ports=False), tools)


def test_an_interface_that_cannot_be_one_is_refused(tools: dict[Family, Tool]) -> None:
    with pytest.raises(BackendError, match=r"detectLocal: .* cannot be the name of a network interface"):
        backend(tools).set_local_traffic({Family.IPV4: LocalTraffic(interface="eth0 -j ACCEPT")})


@pytest.mark.parametrize(
    ("local", "match"),
    [
        (LocalTraffic(interface="br0"), "-d 10.96.0.1/32 ! -i br0 -p tcp"),
        (LocalTraffic(interface_prefix="veth"), "-d 10.96.0.1/32 ! -i veth+ -p tcp"),
    ],
)
async def test_local_pods_are_told_by_their_interfaces(
    local: LocalTraffic, match: str, tools: dict[Family, Tool]
) -> None:
    tracker, running = tracker_of(some_services(1)), backend(tools)
    running.set_local_traffic(dict.fromkeys(Family, local))
    written(await running.sync_all((), tracker))
    assert written(await running.sync_all((), tracker)) == 0
    assert match in str(kernel_rules(tools)[Family.IPV4])


async def test_what_is_counted(tools: dict[Family, Tool]) -> None:
    await run(["ip", "link", "set", "lo", "up"], time_limit=10)
    running = backend(tools)
    written(await running.sync_all((), tracker_of(some_services(1))))
    assert running.packet_counters()[LOCALHOST_ACCEPTED] == 0
    with socket.socket() as client:
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", 30000))  # the packet is counted whether or not somebody answers
        assert running.packet_counters()[LOCALHOST_ACCEPTED] == 1


async def test_how_many_rules_there_are(tools: dict[Family, Tool]) -> None:
    tracker, running = tracker_of(some_services(12)), backend(tools)
    written(await running.sync_all((), tracker))
    tracker.take()
    tracker.upsert(slice_of("s1", "10.9.9.9", ports=(("", 8080),)))
    written(await running.sync(tracker.take().services, tracker))
    for family, counts in running.rule_counts().items():
        for table in ("nat", "filter"):
            ours = [
                lines
                for (of_table, chain), lines in kernel_rules(tools)[family].items()
                if of_table == table and re.match("KUBE-", chain)
            ]
            assert counts[table].total == sum(map(len, ours)), (family, table)
    assert running.rule_counts()[Family.IPV4]["nat"].last == 4, "two of the chain that picks, two of the endpoint"
    assert running.object_counts()[Family.IPV4]["nat rules"] == running.rule_counts()[Family.IPV4]["nat"].total
