"""The kernel's table, in a real namespace, against what it should hold."""

import asyncio
import re
import subprocess
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from kproxy.backends.interface import Outcome
from kproxy.backends.nftables import compile as compiling
from kproxy.backends.nftables.backend import cleanup
from kproxy.backends.nftables.sets import SetName
from kproxy.services.addresses import Family, Network, parse_address
from kproxy.services.model import ServiceName
from kproxy.services.objects import KubeObject, Service
from kproxy.services.tracker import ServiceTracker
from tests.coroutines import to_end
from tests.nftables.kernel_state import FAMILIES, backend, contents
from tests.nftables.strategies import Happening, events, happen
from tests.services.builders import endpoint, service, slice_of, tracker_of

pytestmark = pytest.mark.usefixtures("network_namespace")

NODE_IPS = [address for text in ("192.0.2.1", "2001:db8::a") if (address := parse_address(text))]


def some_services(count: int, endpoints: int = 3) -> list[KubeObject]:
    objects: list[KubeObject] = []
    for i in range(count):
        name, ip = f"s{i}", f"10.96.{i // 250}.{i % 250 + 1}"
        objects.append(service(name, clusterIP=ip, type="NodePort", ports=[{"port": 80, "nodePort": 30000 + i}]))
        ready = [endpoint(f"10.244.{i % 250}.{e + 1}", nodeName="here") for e in range(endpoints)]
        objects.append(slice_of(name, *ready, ports=(("", 8080),)))
    return objects


def nft(*arguments: str) -> str:
    return subprocess.run(["nft", *arguments], check=True, capture_output=True, text=True).stdout


def written(sync: Coroutine[Any, Any, list[Outcome]]) -> int:
    outcomes = to_end(sync)
    assert not any(outcome.refused for outcome in outcomes), outcomes
    return sum(outcome.objects for outcome in outcomes)


def cluster_ips() -> set[bytes]:
    found = contents()[Family.IPV4, SetName.CLUSTER_IPS]
    assert isinstance(found, set)
    return found


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(happenings=events())
def test_any_sequence_of_changes_ends_in_the_table_of_a_fresh_start(
    happenings: list[Happening],
) -> None:
    cleanup()
    tracker, changing = ServiceTracker("here"), backend()
    changing.set_node_port_addresses(NODE_IPS)
    written(changing.sync_all((), tracker))
    remaining: dict[tuple[type, str], KubeObject] = {}
    for happening in happenings:
        happen(happening, tracker, remaining)
        written(changing.sync(tracker.take().services, tracker))
    after_changes = contents()
    changing.close()

    restarted = backend()
    restarted.set_node_port_addresses(NODE_IPS)
    again = tracker_of(remaining.values())
    unused = sum(
        len(table._balancers - table.desired.balancers()) + len(table._timeouts - table.desired.timeouts())
        for table in changing._tables.values()
    )
    assert written(restarted.sync_all((), again)) == unused
    restarted.close()

    cleanup()
    fresh = backend()
    fresh.set_node_port_addresses(NODE_IPS)
    written(fresh.sync_all((), again))
    fresh.close()
    assert contents() == after_changes


def test_a_restart_writes_nothing() -> None:
    objects = some_services(50)
    first = backend()
    assert written(first.sync_all((), tracker_of(objects))) > 0
    first.close()
    second = backend()
    assert written(second.sync_all((), tracker_of(objects))) == 0


def test_a_restart_keeps_slots_that_history_left_out_of_order() -> None:
    tracker, running = ServiceTracker("here"), backend()
    tracker.upsert(service())
    written(running.sync_all((), tracker))
    for addresses in (["10.0.0.5", "10.0.0.6", "10.0.0.7"], ["10.0.0.7", "10.0.0.6"], ["10.0.0.7", "10.0.0.1"]):
        tracker.upsert(slice_of("web", *addresses))
        written(running.sync(tracker.take().services, tracker))
    assert written(backend().sync_all((), tracker)) == 1  # the balancer for three, which nobody uses any more


def test_rules_and_chains_do_not_grow_with_services() -> None:
    def count(services: int) -> tuple[int, int]:
        cleanup()
        written(backend().sync_all((), tracker_of(some_services(services))))
        lines = nft("--terse", "list", "table", "ip", "kube-proxy").splitlines()
        return len(lines), sum(line.startswith("\tchain") for line in lines)

    assert count(1000) == count(10)


def test_one_endpoint_more_is_three_elements() -> None:
    tracker, running = tracker_of(some_services(200)), backend()
    written(running.sync_all((), tracker))
    tracker.take()
    for more in ("10.9.9.9", "10.9.9.8"):
        ready = [endpoint(f"10.244.7.{e + 1}", nodeName="here") for e in range(3)]
        tracker.upsert(slice_of("s7", *ready, more, ports=(("", 8080),)))
        outcome, _ = to_end(running.sync(tracker.take().services, tracker))
        # For the ClusterIP and the NodePort: the endpoint and the number of endpoints (replaced: two each), and two
        # balancers, the first time that a Service has four. Exchanging an endpoint afterwards replaces it alone.
        assert outcome.objects == (2 + 4 + 2 if more == "10.9.9.9" else 4)


def test_what_somebody_else_changed_is_repaired() -> None:
    tracker, running = tracker_of(some_services(20)), backend()
    written(running.sync_all((), tracker))
    right = contents()
    for tampering in (
        "delete table ip kube-proxy",
        "flush ruleset",
        "flush chain ip kube-proxy services",
        "insert rule ip kube-proxy services drop",
        "add chain ip kube-proxy foreign",
        "delete element ip kube-proxy cluster-ips { 10.96.0.1 }",
        "add element ip kube-proxy cluster-ips { 192.0.2.99 }",
        "flush map ip kube-proxy service-endpoints",
        "delete element ip kube-proxy balancers { 1:3 }",
    ):
        nft(*tampering.split())
        assert written(running.sync_all((), tracker)) > 0, tampering
        assert contents() == right, tampering
        assert written(running.sync_all((), tracker)) == 0, tampering


def test_a_change_to_a_table_that_was_tampered_with_is_refused_and_then_repaired() -> None:
    tracker, running = tracker_of(some_services(5)), backend()
    written(running.sync_all((), tracker))
    nft("delete", "table", "ip", "kube-proxy")
    tracker.take()
    tracker.delete(Service, "default", "s1")
    outcomes = to_end(running.sync(tracker.take().services, tracker))
    assert [outcome.failed for outcome in outcomes] == [True, False]
    assert "ENOENT" in outcomes[0].refused[0].reason
    assert written(running.sync_all((), tracker)) > 0
    assert parse_address("10.96.0.2") not in cluster_ips()


def test_a_service_that_the_kernel_refuses_does_not_block_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = some_services(5)
    poison = service(
        "poison",
        clusterIP="10.96.9.9",
        type="LoadBalancer",
        ingress=[{"ip": "198.51.100.1"}],
        loadBalancerSourceRanges=["10.0.0.0/8", "10.0.0.0/16"],
    )

    def keep_overlaps(networks: list[Network]) -> list[Network]:
        return networks

    running = backend()
    with monkeypatch.context() as patched:
        patched.setattr(compiling, "collapse", keep_overlaps)
        tracker = tracker_of([*objects, poison])
        outcome, _ = to_end(running.sync_all((), tracker))
        assert [refused.service for refused in outcome.refused] == [ServiceName("default", "poison")]
        assert not outcome.failed
    assert len(cluster_ips()) == 5
    assert written(running.sync_all((), tracker)) > 0, "it is tried again"
    assert len(cluster_ips()) == 6


def test_another_proxys_table_of_the_same_name_is_replaced() -> None:
    nft("add table ip kube-proxy; add chain ip kube-proxy service-ABC { type nat hook prerouting priority 0 ; }")
    written(backend().sync_all((), tracker_of(some_services(3))))
    assert "service-ABC" not in nft("list", "table", "ip", "kube-proxy")
    assert contents()


def test_cleanup_removes_our_tables_and_nothing_else() -> None:
    nft("add", "table", "ip", "other")
    written(backend().sync_all((), tracker_of(some_services(3))))
    assert set(cleanup()) == set(FAMILIES)
    assert nft("list", "tables") == "table ip other\n"
    assert cleanup() == []


def test_what_clients_were_sent_to_is_not_touched_by_a_restart() -> None:
    sticky = service(sessionAffinity="ClientIP")
    tracker = tracker_of([sticky, slice_of("web", "10.0.0.1", "10.0.0.2")])
    written(backend().sync_all((), tracker))
    nft(f"add element ip kube-proxy service-affinity {{ {KNOWN_CLIENT} timeout 3h : 1:1 }}")
    assert written(backend().sync_all((), tracker)) == 0
    assert KNOWN_CLIENT in nft("list", "map", "ip", "kube-proxy", "service-affinity")


KNOWN_CLIENT = "192.0.2.5 . 10.96.0.10 . tcp . 80"


def test_what_clients_were_sent_to_outlives_a_table_that_is_replaced() -> None:
    sticky = service(sessionAffinity="ClientIP")
    tracker, running = tracker_of([sticky, slice_of("web", "10.0.0.1", "10.0.0.2")]), backend()
    written(running.sync_all((), tracker))
    nft(f"add element ip kube-proxy service-affinity {{ {KNOWN_CLIENT} timeout 3h : 1:1 }}")
    nft("flush", "chain", "ip", "kube-proxy", "services")
    assert written(running.sync_all((), tracker)) > 0
    learned = nft("list", "map", "ip", "kube-proxy", "service-affinity")
    assert re.search(rf"{KNOWN_CLIENT} timeout 3h expires 2h59m5\ds\w* : 1:1", learned)


def test_a_set_that_gets_too_small_is_replaced_by_a_larger_one() -> None:
    tracker, running = ServiceTracker("here"), backend()
    tracker.upsert(service(sessionAffinity="ClientIP"))
    tracker.upsert(service("many", clusterIP="10.96.0.11"))
    written(running.sync_all((), tracker))
    nft(f"add element ip kube-proxy service-affinity {{ {KNOWN_CLIENT} timeout 3h : 1:1 }}")
    for count in (500, 1024, 1025, 4096, 4097):
        tracker.upsert(slice_of("many", *[f"10.1.{i // 250}.{i % 250 + 1}" for i in range(count)]))
        outcome, _ = to_end(running.sync(tracker.take().services, tracker))
        assert not outcome.refused
        assert outcome.full == (count in (1025, 4097))
    assert written(running.sync_all((), tracker)) == 0
    assert written(backend().sync_all((), tracker)) == 0
    assert KNOWN_CLIENT in nft("list", "map", "ip", "kube-proxy", "service-affinity")


def test_the_rules_of_a_sticky_service_do_not_depend_on_its_endpoints() -> None:
    tracker, running = ServiceTracker("here"), backend()
    tracker.upsert(service(sessionAffinity="ClientIP"))
    written(running.sync_all((), tracker))
    counts = []
    for number in (1, 50):
        tracker.upsert(slice_of("web", *[f"10.0.0.{i}" for i in range(1, number + 1)]))
        written(running.sync(tracker.take().services, tracker))
        listed = nft("--terse", "list", "table", "ip", "kube-proxy")
        counts.append(len([line for line in listed.splitlines() if "random" not in line]))
    assert counts[1] == counts[0] + 2  # the balancer for fifty: an empty line and a closing brace


def test_balancers_that_nobody_uses_are_removed_after_a_while() -> None:
    tracker, running = ServiceTracker("here"), backend()
    tracker.upsert(service())
    written(running.sync_all((), tracker))
    for count in range(1, 40):
        tracker.upsert(slice_of("web", *[f"10.0.0.{i}" for i in range(1, count + 1)]))
        written(running.sync(tracker.take().services, tracker))
    chains = [line for line in nft("list", "chains", "ip").splitlines() if "chain random-" in line]
    assert len(chains) <= 34


async def test_the_event_loop_goes_on_while_everything_is_written() -> None:
    tracker, running = tracker_of(some_services(3_000)), backend()
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    sync = asyncio.create_task(running.sync_all((), tracker))
    for _ in range(5):
        await asyncio.sleep(0)
    tracker.take()
    for i in (0, 2_999):  # one that was compiled already, and one that will be
        tracker.upsert(slice_of(f"s{i}", "10.9.9.9", ports=(("", 8080),)))
    assert not sync.done()
    await sync
    turning.cancel()
    assert turns > 2 * 3_000 / 500
    for outcome in await running.sync(tracker.take().services, tracker):
        assert not outcome.refused
    for outcome in await running.sync_all((), tracker):
        assert not outcome.objects
    assert nft("list", "map", "ip", "kube-proxy", "service-endpoints").count("10.9.9.9") == 2
