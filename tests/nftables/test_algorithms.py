"""Balancing algorithms, by what 10,000 connections find."""

import subprocess
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from kproxy.backends.nftables.backend import NftablesBackend
from kproxy.backends.nftables.ruleset import RulesetOptions
from kproxy.lab.goodness_of_fit import chi_square
from kproxy.lab.lab import Lab
from kproxy.lab.topology import NODE
from kproxy.services.addresses import Family
from kproxy.services.tracker import ServiceTracker
from tests.coroutines import to_end
from tests.nftables.kernel_state import POD_NETWORKS
from tests.services.builders import endpoint, node, service, slice_of

pytestmark = pytest.mark.root

PODS = {"pod-a": "10.244.1.10", "pod-b": "10.244.1.11", "pod-c": "10.244.2.10", "pod-d": "10.244.2.11"}
IP = "10.96.0.10"
CERTAIN = 1e-6
"""Below this, chance is no explanation."""


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with Lab.open(patience=10) as made:  # everybody answers, however busy the machine is
        yield made


def program(lab: Lab, *, weights: str = "", **annotations: str) -> None:
    """Balance one Service over four pods, two of them on the node and in its zone."""
    tracker = ServiceTracker("node")
    tracker.upsert(node("node", zone="a"))
    tracker.upsert(service(clusterIP=IP, annotations=annotations))
    endpoints = [
        endpoint(ip, nodeName="node" if i < 2 else "peer", zone="a" if i < 3 else "b")
        for i, ip in enumerate(PODS.values())
    ]
    tracker.upsert(slice_of("web", *endpoints, annotations={"kproxy/weights": weights} if weights else {}))

    def write() -> None:
        backend = NftablesBackend((Family.IPV4,), RulesetOptions())
        backend.set_local_traffic(POD_NETWORKS)
        (outcome,) = to_end(backend.sync_all((), tracker))
        backend.close()
        assert not outcome.refused

    lab.namespace(NODE.name).run(write)


def chance(found: Counter[str], shares: dict[str, int]) -> float:
    """How likely such a spread, or a more uneven one, is if each pod has its share."""
    _, probability = chi_square([found[pod] for pod in shares], list(shares.values()))
    return probability


async def answers(lab: Lab, tries: int, client: str = "pod-x") -> Counter[str]:
    sample = await lab.sample(client, "TCP", IP, 80, tries)
    assert not sample.failures
    return Counter(sample.pods)


@pytest.mark.parametrize(
    ("annotations", "slice_weights", "shares"),
    [
        ({}, "", {"pod-a": 1, "pod-b": 1, "pod-c": 1, "pod-d": 1}),
        (
            {"kproxy/balancing": "weighted"},
            "10.244.1.10=3, 10.244.1.11=1, 10.244.2.10=4, 10.244.2.11=2",
            {"pod-a": 3, "pod-b": 1, "pod-c": 4, "pod-d": 2},
        ),
        (
            {"kproxy/balancing": "weighted", "kproxy/weights": "node=4, zone=2"},
            "",
            {"pod-a": 4, "pod-b": 4, "pod-c": 2, "pod-d": 1},
        ),
    ],
    ids=["random", "weighted-by-endpoint", "weighted-by-topology"],
)
async def test_shares_over_ten_thousand_connections(
    lab: Lab, annotations: dict[str, str], slice_weights: str, shares: dict[str, int]
) -> None:
    program(lab, weights=slice_weights, **annotations)
    found = await answers(lab, 10_000)
    assert found.keys() <= shares.keys()
    assert chance(found, shares) > CERTAIN, found


async def test_round_robin_takes_turns(lab: Lab) -> None:
    program(lab, **{"kproxy/balancing": "round-robin"})
    assert set((await answers(lab, 1000)).values()) == {250}


async def test_a_source_keeps_its_endpoint(lab: Lab) -> None:
    program(lab, **{"kproxy/balancing": "source-hash"})
    for client in ("pod-x", "node", "ext"):
        assert len(await answers(lab, 100, client)) == 1, client


async def test_sources_are_spread(lab: Lab) -> None:
    program(lab, **{"kproxy/balancing": "source-hash"})
    found: Counter[str] = Counter()
    client = lab.namespace("pod-x")
    for last in range(60, 220):
        address = f"10.244.1.{last}/24"
        client.run(lambda a=address: subprocess.run(["ip", "addr", "replace", a, "dev", "eth0"], check=True))  # type: ignore[misc]
        client.run(
            lambda a=last: subprocess.run(  # type: ignore[misc]
                ["ip", "route", "replace", f"{IP}/32", "via", "10.244.1.1", "src", f"10.244.1.{a}"], check=True
            )
        )
        found += await answers(lab, 1)
    assert len(found) == 4
    assert chance(found, dict.fromkeys(PODS, 1)) > CERTAIN, found


async def test_a_destination_keeps_its_endpoint_whoever_asks(lab: Lab) -> None:
    program(lab, **{"kproxy/balancing": "destination-hash"})
    found: Counter[str] = Counter()
    for client in ("pod-x", "node", "ext"):
        found += await answers(lab, 50, client)
    assert len(found) == 1
