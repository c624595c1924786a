"""What ip_tables tells of probes, on rules made for the purpose, and that nothing of the asking stays."""

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kproxy.inspect.rulesets.kernel_routes import KernelRoutes
from kproxy.inspect.rulesets.packet import Hook
from kproxy.inspect.rulesets.snapshot import read_snapshot
from kproxy.inspect.trace.live import probe as probing
from kproxy.inspect.trace.live.headers import read_header
from kproxy.inspect.trace.live.legacy_tracer import read_told
from kproxy.inspect.trace.report import TraceOutcome, View
from kproxy.inspect.trace.tracing import packet_between
from kproxy.kernel.nflog.packets import LoggedPacket
from kproxy.services.addresses import parse_address
from kproxy.services.objects import Protocol

NODE = {4: "10.1.0.1", 6: "fd00:1::1"}
ELSEWHERE = {4: "10.2.0.5", 6: "fd00:2::5"}
"""By an interface that swallows everything."""
Restore = Callable[..., None]
UDP_HEADERS = bytes.fromhex("4500001d 0001 0000 4011 0000 0a010001 0a020005 8000 0050 0009 0000".replace(" ", ""))


@pytest.fixture
def restore(network_namespace: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Restore:
    """A node with two addresses; the result loads rules in the format of iptables-restore."""
    monkeypatch.setenv("XTABLES_LOCKFILE", str(tmp_path / "xtables.lock"))
    monkeypatch.setattr(probing, "_PATIENCE", 1.5)  # a SYN is sent again after a second
    for command in (
        "link set lo up",
        "link add out type veth peer name nowhere",
        f"address add {NODE[4]}/24 dev out",
        f"address add {NODE[6]}/64 dev out nodad",
        "link set out up",
        "link set nowhere up",
        "route add 10.2.0.0/24 via 10.1.0.2",
        "route add fd00:2::/64 via fd00:1::2",
        "neighbour add 10.1.0.2 lladdr 02:00:00:00:00:02 dev out",
        "neighbour add fd00:1::2 lladdr 02:00:00:00:00:02 dev out",
    ):
        subprocess.run(["ip", *command.split()], check=True)

    def load(version: int, rules: str) -> None:
        program = "iptables-legacy-restore" if version == 4 else "ip6tables-legacy-restore"
        text = "\n".join(line.strip() for line in rules.strip().splitlines()) + "\n"
        subprocess.run([program], input=text, text=True, check=True)

    return load


def live(destination: str, port: int = 80, protocol: Protocol = "TCP") -> View:
    address = parse_address(destination)
    assert address
    routes = KernelRoutes()
    packet = packet_between(None, address, port, protocol, routes)
    routes.close()
    return probing.probe(packet, read_snapshot())


def steps(view: View) -> list[tuple[str, str]]:
    """Table and chain, and what happened there."""
    return [(step.where.partition(" ")[2], step.text) for step in view.steps]


@pytest.mark.parametrize("version", [4, 6])
def test_jumps_returns_and_what_only_counts(version: int, restore: Restore) -> None:
    restore(
        version,
        f"""
        *filter
        :OUTPUT ACCEPT
        :KUBE-A -
        :KUBE-B -
        :KUBE-C -
        -A OUTPUT -m conntrack --ctstate NEW -j KUBE-A
        -A OUTPUT -p tcp -g KUBE-C
        -A OUTPUT -j DROP
        -A KUBE-A -p udp -j DROP
        -A KUBE-A -j KUBE-B
        -A KUBE-A -j MARK --set-xmark 0x10/0x30
        -A KUBE-A -p tcp -j RETURN
        -A KUBE-A -j DROP
        -A KUBE-B -d {ELSEWHERE[version]} -m comment --comment "counts only"
        -A KUBE-C -m mark --mark 0x10 -j LOG
        -A KUBE-C -j RETURN
        COMMIT
        """,
    )
    view = live(ELSEWHERE[version])
    assert steps(view) == [
        ("filter OUTPUT", "jump KUBE-A"),
        ("filter KUBE-A", "jump KUBE-B"),
        ("filter KUBE-B", "continue"),
        ("filter KUBE-A", "mark becomes 0x10"),
        ("filter KUBE-A", "returns from the chain"),
        ("filter OUTPUT", "goto KUBE-C"),
        ("filter KUBE-C", "continue LOG"),
        ("filter KUBE-C", "returns from the chain"),
        ("filter OUTPUT", "policy ACCEPT"),
    ]
    assert {step.where.partition(" ")[0] for step in view.steps} == {
        "iptables-legacy" if version == 4 else "ip6tables-legacy"
    }
    assert str(view.steps[2].because) == "counts only"
    assert view.steps[3].rule == "-j MARK --set-xmark 0x10/0x30"
    assert view.outcomes[0].fate == "unchanged"
    assert view.notes == ("nothing answered",)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    ("rules", "fate", "last"),
    [
        # An unconditional verdict is told as if it were the end of the chain.
        ("-A OUTPUT -j DROP", "dropped", "dropped"),
        ("-A OUTPUT -p udp -m comment --comment why -j DROP", "dropped", "dropped"),
        ("-A OUTPUT -p udp -j REJECT", "rejected", "rejected (icmp{}-port-unreachable)"),
    ],
)
def test_refusals_name_their_rule(version: int, rules: str, fate: str, last: str, restore: Restore) -> None:
    restore(version, f"*filter\n:OUTPUT ACCEPT\n-A OUTPUT -p tcp -j ACCEPT\n{rules}\n-A OUTPUT -j ACCEPT\nCOMMIT")
    view = live(ELSEWHERE[version], protocol="UDP")
    assert steps(view) == [("filter OUTPUT", last.format("6" if version == 6 else ""))]
    found = view.outcomes[0]
    assert found.fate == fate
    assert found.because
    assert found.because.object.endswith("tables-legacy filter OUTPUT")
    assert found.because.field.startswith(rules.removeprefix("-A OUTPUT "))


def test_a_policy_that_drops(restore: Restore) -> None:
    restore(4, "*mangle\n:OUTPUT ACCEPT\nCOMMIT\n*filter\n:OUTPUT DROP\n-A OUTPUT -p tcp -j ACCEPT\nCOMMIT")
    view = live(ELSEWHERE[4], protocol="UDP")
    assert steps(view) == [("mangle OUTPUT", "policy ACCEPT"), ("filter OUTPUT", "policy DROP")]
    assert view.outcomes[0].fate == "dropped"


@pytest.mark.parametrize("version", [4, 6])
def test_what_the_node_sends_to_itself_is_followed_where_it_comes_in_to_be_refused(
    version: int, restore: Restore
) -> None:
    there = NODE[version] if version == 4 else f"[{NODE[version]}]"
    restore(
        version,
        f"""
        *nat
        :OUTPUT ACCEPT
        :POSTROUTING ACCEPT
        -A OUTPUT -d {ELSEWHERE[version]} -p tcp -m tcp --dport 80 -j DNAT --to-destination {there}:99
        -A POSTROUTING -p tcp -j MASQUERADE --random-fully
        COMMIT
        *filter
        :INPUT ACCEPT
        -A INPUT -p tcp -m tcp --dport 99 -j DROP
        COMMIT
        """,
    )
    view = live(ELSEWHERE[version])
    assert steps(view) == [
        ("nat OUTPUT", f"destination becomes {there}:99"),
        ("filter OUTPUT", "policy ACCEPT"),
        ("nat POSTROUTING", "source becomes this node's address"),
        ("filter INPUT", "dropped"),
    ]
    assert view.outcomes[0].fate == "dropped"


@pytest.mark.parametrize("legacy", [True, False])
def test_an_endpoint_that_refuses_is_no_rule_that_rejects(legacy: bool, restore: Restore) -> None:
    if legacy:
        restore(4, f"*nat\n:OUTPUT ACCEPT\n-A OUTPUT -p tcp --dport 80 -j DNAT --to {NODE[4]}:99\nCOMMIT")
    else:
        table = f"""table ip t {{
            chain out {{ type nat hook output priority -100; tcp dport 80 dnat to {NODE[4]}:99; }}
            chain post {{ type filter hook postrouting priority 0; accept; }}
        }}"""
        subprocess.run(["nft", "-f", "-"], input=table, text=True, check=True)
    found = live(ELSEWHERE[4])
    assert found.outcomes == (TraceOutcome(fate="redirected", probability=1.0, endpoint=f"{NODE[4]}:99"),)
    assert "ECONNREFUSED" in found.notes[-1]
    assert live(NODE[4], 81).outcomes[0].fate == "local"


def test_rules_of_both_kinds_are_in_the_order_of_the_hooks(restore: Restore) -> None:
    restore(4, "*raw\n:OUTPUT ACCEPT\nCOMMIT\n*filter\n:OUTPUT ACCEPT\nCOMMIT")
    table = """table inet t {
        chain called { meta mark 0; }
        chain first { type filter hook output priority -400; jump called; }
        chain between { type filter hook output priority -150; accept; }
        chain last { type filter hook postrouting priority -500; accept; }
    }"""
    subprocess.run(["nft", "-f", "-"], input=table, text=True, check=True)
    assert [step.where for step in live(ELSEWHERE[4]).steps if not step.text.startswith("policy accept")] == [
        "inet t first",
        "inet t called",
        "iptables-legacy raw OUTPUT",
        "inet t between",
        "iptables-legacy filter OUTPUT",
        "inet t last",
    ]


@pytest.mark.parametrize(
    ("prefix", "read"),
    [
        ("TRACE: nat:KUBE-SERVICES:rule:3 ", ("nat", "KUBE-SERVICES", 3, False)),
        ("TRACE: filter:a:b:return:12 ", ("filter", "a:b", 12, True)),
        ("TRACE: raw:OUTPUT:policy:1 ", ("raw", "OUTPUT", 1, True)),
        ("TRACE: raw:OUTPUT:policy: ", None),
        ("kernel: TRACE: raw:OUTPUT:policy:1 ", None),
        ("", None),
    ],
)
def test_prefixes(prefix: str, read: tuple[str, str, int, bool] | None) -> None:
    told = read_told(LoggedPacket(socket.AF_INET, 3, prefix, UDP_HEADERS))
    assert (told and (told.table, told.chain, told.number, told.ends)) == read
    if told:
        assert (told.hook, told.header.source_port, told.header.endpoint) == (
            Hook.OUTPUT,
            0x8000,
            (bytes((10, 2, 0, 5)), 80),
        )
        assert read_told(LoggedPacket(socket.AF_INET, 9, prefix, UDP_HEADERS)) is None
        assert read_told(LoggedPacket(socket.AF_INET, 3, prefix, UDP_HEADERS[:22])) is None


@given(version=st.sampled_from([0, 0x45, 0x4F, 0x60]), rest=st.binary(max_size=120))
def test_no_packet_is_too_odd_to_be_read(version: int, rest: bytes) -> None:
    found = read_header(bytes((version,)) + rest)
    assert found is None or len(found.source) == len(found.destination) == (16 if version == 0x60 else 4)
