"""From the model to turns, targets and redirected Service ports."""

import collections

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kproxy.backends.userspace.desired import forwarded, target, turns
from kproxy.backends.userspace.redirected_flows import RedirectedFlows
from kproxy.backends.userspace.redirected_model import Listening, RedirectedModel, redirected
from kproxy.services.addresses import Family
from kproxy.services.balancing import Algorithm
from kproxy.services.flows import ServedFlows
from kproxy.services.model import Endpoint, ServiceName, Verdict
from tests.services.builders import endpoint, service, slice_of, tracker_of

WEB = ServiceName("default", "web")
NODE, OTHER, LOOPBACK = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2)), bytes((127, 0, 0, 1))


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=20))
def test_turns_follow_weights(weights: list[int]) -> None:
    endpoints = [Endpoint(bytes((10, 0, 0, i)), 80, False, weight) for i, weight in enumerate(weights)]
    found = collections.Counter(turns(endpoints, Algorithm.WEIGHTED))
    assert sum(found.values()) <= 1000 + len(weights)
    expected = weights if any(weights) else [1] * len(weights)
    for i, weight in enumerate(expected):
        share = found[(f"10.0.0.{i}", 80)] / sum(found.values())
        assert (share > 0) is (weight > 0)
        assert share == pytest.approx(weight / sum(expected), abs=0.02)


def test_turns_of_a_heavy_endpoint_are_spread() -> None:
    endpoints = [Endpoint(bytes((10, 0, 0, i)), 80, False, weight) for i, weight in enumerate((3, 1))]
    first, second = ("10.0.0.0", 80), ("10.0.0.1", 80)
    assert turns(endpoints, Algorithm.WEIGHTED) == (first, first, second, first)
    assert turns(endpoints, Algorithm.RANDOM) == (first, second)


def test_packets_go_to_the_nodes_own_address_if_it_is_there() -> None:
    assert target(Family.IPV4, NODE, [LOOPBACK, OTHER, NODE]) == NODE
    assert target(Family.IPV4, NODE, [LOOPBACK, OTHER]) == OTHER
    assert target(Family.IPV4, None, [LOOPBACK, bytes(16)]) == LOOPBACK
    assert target(Family.IPV6, NODE, [LOOPBACK, NODE]) == bytes(15) + b"\x01"


def test_the_proxy_stands_where_endpoints_were() -> None:
    tracker = tracker_of(
        [
            service(
                type="NodePort", externalTrafficPolicy="Local", ports=[{"name": "http", "port": 80, "nodePort": 3}]
            ),
            slice_of("web", endpoint("10.0.0.1", nodeName="elsewhere")),
        ]
    )
    [port] = tracker.ports(WEB, Family.IPV4)
    through_us = redirected(port, NODE, Listening(4001, 4002))
    assert through_us.cluster_endpoints == (Endpoint(NODE, 4001, False),)
    assert through_us.local_endpoints == ()
    assert (through_us.internal_verdict, through_us.external_verdict) == (Verdict.BALANCE, Verdict.DROP)
    unserved = redirected(port, NODE, Listening(0, 0))
    assert (unserved.internal_verdict, unserved.external_verdict) == (Verdict.REJECT, Verdict.REJECT)


def test_frontends_are_what_connections_were_sent_to() -> None:
    tracker = tracker_of(
        [
            service(
                type="NodePort",
                clusterIP="10.96.0.10",
                externalIPs=["203.0.113.1"],
                ports=[{"name": "http", "port": 80, "nodePort": 30080}],
            )
        ]
    )
    [port] = tracker.ports(WEB, Family.IPV4)
    number = (80).to_bytes(2, "big")
    assert forwarded(port, 1).frontends == (
        bytes((10, 96, 0, 10)) + number,
        bytes((203, 0, 113, 1)) + number,
        (30080).to_bytes(2, "big"),
    )


def test_a_change_of_endpoints_changes_no_rule() -> None:
    model = RedirectedModel()
    tracker = tracker_of([service(), slice_of("web", "10.0.0.1")])

    def replace() -> bool:
        ports = tuple(redirected(port, NODE, Listening(1, 2)) for port in tracker.ports(WEB, Family.IPV4))
        return model.replace(WEB, {Family.IPV4: ports})

    assert replace()
    tracker.upsert(slice_of("web", "10.0.0.1", "10.0.0.2"))
    assert not replace()
    tracker.upsert(slice_of("web"))
    assert replace()
    assert model.replace(WEB, {})
    assert not list(model.names())


def test_tracked_flows_to_the_proxy_are_not_stale() -> None:
    udp = [{"name": "dns", "port": 53, "protocol": "UDP"}]
    dns = slice_of("web", "10.0.0.1", ports=(("dns", 53),), protocol="UDP")
    tracker, model = tracker_of([service(ports=udp), dns]), RedirectedModel()
    ports = tuple(redirected(port, NODE, Listening(4001, 0)) for port in tracker.ports(WEB, Family.IPV4))
    model.replace(WEB, {Family.IPV4: ports})
    flows = ServedFlows([Family.IPV4])
    flows.changed([WEB], RedirectedFlows(tracker, model))
    [check] = flows.take()
    [rule] = check.rules[53].values()
    assert rule.served
    assert rule.backends == {NODE + (4001).to_bytes(2, "big")}
