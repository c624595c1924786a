"""Partial syncs: what they write, and that any number of them ends where a fresh start does."""

import re

import pytest
from hypothesis import HealthCheck, given, settings

from kproxy.backends.iptables import partial
from kproxy.backends.iptables.options import LARGE_CLUSTER_ENDPOINTS
from kproxy.backends.iptables.tool import Tool, Variant
from kproxy.services.addresses import Family, parse_address, parse_network
from kproxy.services.objects import KubeObject, Service
from kproxy.services.tracker import ServiceTracker
from tests.iptables.churn import Churn
from tests.iptables.kernel_state import backend, kernel_rules, remove_all, tools_of, tracker_of, written
from tests.nftables.strategies import Happening, events, happen
from tests.services.builders import endpoint, service, slice_of


class RecordingTool(Tool):
    """Remembers what it was told to write."""

    last = b""

    async def restore(self, commands: bytes) -> None:
        self.last = commands
        await super().restore(commands)


def recording() -> RecordingTool:
    return RecordingTool(Family.IPV4, Variant.NFT, infix="-nft")


def some_services(count: int, endpoints: int = 3) -> list[KubeObject]:
    objects: list[KubeObject] = []
    for i in range(count):
        name, ip = f"s{i}", f"10.96.{i // 250}.{i % 250 + 1}"
        objects.append(service(name, clusterIP=ip, type="NodePort", ports=[{"port": 80, "nodePort": 30000 + i}]))
        ready = [endpoint(f"10.244.{i % 250}.{e + 1}", nodeName="node") for e in range(endpoints)]
        objects.append(slice_of(name, *ready, ports=(("", 8080),)))
    return objects


async def ends_as_a_fresh_start(tools: dict[Family, Tool], objects: list[KubeObject]) -> None:
    after_changes = kernel_rules(tools)
    tracker = tracker_of(objects)
    restarted = backend(tools)
    assert written(await restarted.sync_all((), tracker)) == 0, "a restart has nothing to write"
    await remove_all(tools)
    written(await backend(tools).sync_all((), tracker))
    assert kernel_rules(tools) == after_changes


async def test_ten_thousand_changes_end_in_the_rules_of_a_fresh_start(tools: dict[Family, Tool]) -> None:
    tracker = ServiceTracker("node")
    running, churn = backend(tools), Churn(4, tracker)
    written(await running.sync_all((), tracker))
    for round_ in range(100):
        churn.apply(110 if round_ % 10 else 10)
        written(await running.sync(tracker.take().services, tracker))
    await ends_as_a_fresh_start(tools, list(churn.objects.values()))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(happenings=events())
async def test_any_sequence_of_changes_ends_in_the_rules_of_a_fresh_start(
    tools: dict[Family, Tool], happenings: list[Happening]
) -> None:
    await remove_all(tools)
    tracker, running = ServiceTracker("node"), backend(tools)
    written(await running.sync_all((), tracker))
    remaining: dict[tuple[type, str], KubeObject] = {}
    for happening in happenings:
        happen(happening, tracker, remaining)
        written(await running.sync(tracker.take().services, tracker))
    await ends_as_a_fresh_start(tools, list(remaining.values()))


@pytest.mark.usefixtures("network_namespace", "lock_file")
async def test_an_endpoint_that_changes_is_two_chains_however_many_services_there_are() -> None:
    tool = recording()
    tracker, running = tracker_of(some_services(60)), backend({Family.IPV4: tool})
    written(await running.sync_all((), tracker))
    tracker.take()
    kept = [endpoint(f"10.244.7.{e + 1}", nodeName="node") for e in range(2)]
    tracker.upsert(slice_of("s7", *kept, endpoint("10.9.9.9", nodeName="node"), ports=(("", 8080),)))
    written(await running.sync(tracker.take().services, tracker))
    lines = tool.last.decode().splitlines()
    declared = [line for line in lines if line.startswith(":")]
    assert len(declared) == 3, "the chain that balances, the new endpoint's, and the old one's to delete"
    assert [line[:2] for line in lines if line[0] == "-"] == ["-A"] * 6 + ["-X"]
    assert not re.search(r"KUBE-(SERVICES|NODEPORTS|EXT)", tool.last.decode())


@pytest.mark.usefixtures("network_namespace", "lock_file")
async def test_a_service_more_or_less_edits_the_shared_chains_by_single_rules() -> None:
    tool = recording()
    tracker, running = tracker_of(some_services(60)), backend({Family.IPV4: tool})
    written(await running.sync_all((), tracker))
    tracker.take()
    tracker.delete(Service, "default", "s3")
    written(await running.sync(tracker.take().services, tracker))
    text = tool.last.decode()
    assert ":KUBE-SERVICES" not in text
    assert len(re.findall(r"^-D KUBE-(?:SERVICES|NODEPORTS) ", text, re.MULTILINE)) == 3
    tracker.upsert(some_services(4)[6])
    written(await running.sync(tracker.take().services, tracker))
    assert len(re.findall(r"^-I KUBE-SERVICES ", tool.last.decode(), re.MULTILINE)) == 1


@pytest.mark.usefixtures("network_namespace", "lock_file")
async def test_a_shared_chain_is_rewritten_when_much_of_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial, "_MAX_DELETIONS", 4)
    tool = recording()
    tools = {Family.IPV4: tool}
    tracker, running = tracker_of(some_services(10)), backend(tools)
    written(await running.sync_all((), tracker))
    tracker.take()
    for number in range(5):
        tracker.delete(Service, "default", f"s{number}")
    written(await running.sync(tracker.take().services, tracker))
    assert ":KUBE-SERVICES" in tool.last.decode()
    assert "\n-D " not in tool.last.decode()
    await ends_as_a_fresh_start({Family.IPV4: tool}, some_services(10)[10:])


async def test_a_change_that_changes_no_rule_runs_no_program(tools: dict[Family, Tool]) -> None:
    tracker, running = tracker_of(some_services(3)), backend(tools)
    written(await running.sync_all((), tracker))
    runs = sum(len(tool.processes) for tool in tools.values())
    outcomes = await running.sync(tracker.take().services, tracker)
    assert written(outcomes) == 0
    assert sum(len(tool.processes) for tool in tools.values()) == runs


@pytest.mark.usefixtures("network_namespace", "lock_file")
async def test_large_clusters_have_no_comments_in_the_chains_of_single_services() -> None:
    tools = tools_of(Variant.NFT)
    objects = some_services(12, endpoints=LARGE_CLUSTER_ENDPOINTS // 12)
    tracker, running = tracker_of(objects), backend(tools)
    written(await running.sync_all((), tracker))

    def commented() -> int:
        rules = kernel_rules(tools)[Family.IPV4]
        return sum("--comment" in rule for (_, chain), lines in rules.items() if "KUBE-SEP" in chain for rule in lines)

    assert commented() == 2 * 12 * (LARGE_CLUSTER_ENDPOINTS // 12)
    tracker.upsert(slice_of("s0", *(f"10.9.{i}.1" for i in range(200)), ports=(("", 8080),)))
    written(await running.sync(tracker.take().services, tracker))
    written(await running.sync_all((), tracker))
    assert commented() == 0
    assert written(await running.sync_all((), tracker)) == 0


async def test_node_ports_follow_the_nodes_addresses(tools: dict[Family, Tool]) -> None:
    network = parse_network("192.0.2.0/24")
    assert network
    tracker, running = tracker_of(some_services(2)), backend(tools, node_port_networks=(network,))
    running.set_node_port_addresses([a for text in ("192.0.2.1", "192.0.2.2") if (a := parse_address(text))])
    written(await running.sync_all((), tracker))
    running.set_node_port_addresses([a for text in ("192.0.2.2", "192.0.2.9") if (a := parse_address(text))])
    written(await running.sync((), tracker))
    rules = kernel_rules(tools)[Family.IPV4]["nat", "KUBE-SERVICES"]
    assert {m.group(1) for rule in rules if (m := re.search(r"-d (\S+) .*-j KUBE-NODEPORTS", rule))} == {
        "192.0.2.2/32",
        "192.0.2.9/32",
    }
    assert "--dst-type LOCAL" not in "".join(rules)
    assert written(await running.sync_all((), tracker)) == 0
