"""Which flows become stale with which change."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest

from kproxy.services.addresses import Family
from kproxy.services.flows import Flow, FlowCheck, ServedFlows
from kproxy.services.model import ServiceName, ServicePort
from kproxy.services.objects import EndpointSlice, Service
from kproxy.services.slices import PackedSlice
from tests.services.builders import endpoint, node, service, slice_of

from .entries import backend, packed
from .served import DNS_PORT, Served, dns, pods

BOTH = (Family.IPV4, Family.IPV6)
POD_A, POD_B, POD_C = "10.244.1.1", "10.244.1.2", "10.244.1.3"
VIP, NODE = "10.96.0.10", "192.168.77.2"


class Proxy:
    """Tracker and flows, as they go together."""

    def __init__(self, *objects: Any) -> None:
        self.served = Served()
        self.flows = ServedFlows(BOTH)
        self.flows.set_node_port_addresses([packed(NODE), packed("fd00:77::2")])
        self.put(*objects)
        self.flows.take()

    def put(self, *objects: Any) -> None:
        for obj in objects:
            self.served.upsert(obj)
        self.sync()

    def remove(self, *named: tuple[type[Service] | type[EndpointSlice], str]) -> None:
        for kind, name in named:
            self.served.remove(kind, name)
        self.sync()

    def sync(self) -> None:
        self.flows.changed(self.served.changes(), self.served)

    def stale(self, flows: Iterable[Flow]) -> list[Flow]:
        """Those that one pass would delete."""
        flows = list(flows)
        return [flow for check in self.flows.take() for flow in check.stale(of_family(check, flows))]


def of_family(check: FlowCheck, flows: Iterable[Flow]) -> list[Flow]:
    return [flow for flow in flows if len(flow.address) == check.family.length and check.protocol == "UDP"]


def flow(to: str, answering: str, port: int = 53, answering_port: int = 5353) -> Flow:
    return Flow(packed(to), port, backend(answering, answering_port), memoryview(b""))


def untranslated(to: str, port: int = 53) -> Flow:
    return flow(to, to, port, port)


TO_A, TO_B, TO_C = flow(VIP, POD_A), flow(VIP, POD_B), flow(VIP, POD_C)


def test_flows_to_a_removed_endpoint_are_stale_and_no_others() -> None:
    proxy = Proxy(dns(), pods(POD_A, POD_B))
    proxy.put(pods(POD_B))
    elsewhere = [flow("10.96.0.11", POD_A), flow(VIP, POD_A, port=54), untranslated("10.0.0.9")]
    assert proxy.stale([TO_A, TO_B, *elsewhere]) == [TO_A]
    assert not proxy.flows.pending


def test_the_last_endpoint_takes_its_flows_along() -> None:
    proxy = Proxy(dns(), pods(POD_A))
    proxy.put(pods())
    assert proxy.stale([TO_A]) == [TO_A]


def test_a_changed_target_port_leaves_the_old_flows_behind() -> None:
    proxy = Proxy(dns(), pods(POD_A))
    proxy.put(pods(POD_A, port=5454))
    assert proxy.stale([TO_A, flow(VIP, POD_A, answering_port=5454)]) == [TO_A]


def test_flows_from_before_the_service_had_endpoints_are_stale() -> None:
    proxy = Proxy(dns())
    proxy.put(pods(POD_A))
    assert proxy.stale([untranslated(VIP), TO_A]) == [untranslated(VIP)]


def test_flows_from_before_there_was_a_service_are_stale() -> None:
    proxy = Proxy()
    proxy.put(dns(externalIPs=["203.0.113.1"]), pods(POD_A))
    before = [untranslated(VIP), untranslated("203.0.113.1")]
    assert proxy.stale([*before, TO_A, untranslated("203.0.113.2")]) == before


def test_a_deleted_service_leaves_only_flows_that_never_were_its_own() -> None:
    proxy = Proxy(dns(), pods(POD_A))
    proxy.remove((Service, "dns"), (EndpointSlice, "dns-1"))
    assert proxy.stale([TO_A, TO_B, untranslated(VIP)]) == [TO_A]


@pytest.mark.parametrize(
    ("field", "value"),
    [("externalIPs", ["203.0.113.1"]), ("ingress", [{"ip": "203.0.113.1"}])],
)
def test_an_address_that_comes_and_goes(field: str, value: Any) -> None:
    proxy = Proxy(dns(type="LoadBalancer"), pods(POD_A))
    proxy.put(dns(type="LoadBalancer", **{field: value}))
    own = flow("203.0.113.1", POD_A)
    assert proxy.stale([untranslated("203.0.113.1"), own, TO_A]) == [untranslated("203.0.113.1")]
    proxy.put(dns(type="LoadBalancer"))
    assert proxy.stale([untranslated("203.0.113.1"), own, TO_A]) == [own]


def node_port_service() -> Service:
    return dns(type="NodePort", ports=[{**DNS_PORT, "nodePort": 30053}])


def test_node_ports_concern_the_addresses_where_they_answer() -> None:
    proxy = Proxy(node_port_service(), pods(POD_A, POD_B))
    proxy.put(pods(POD_B))
    through_node, elsewhere = flow(NODE, POD_A, 30053), flow("10.0.0.9", POD_A, 30053)
    assert proxy.stale([through_node, flow(NODE, POD_B, 30053), elsewhere]) == [through_node]


def test_a_new_node_port_and_a_new_node_address() -> None:
    proxy = Proxy(dns(), pods(POD_A))
    proxy.put(node_port_service())
    late = "192.168.77.9"
    assert proxy.stale([untranslated(NODE, 30053), untranslated(late, 30053)]) == [untranslated(NODE, 30053)]
    proxy.flows.set_node_port_addresses([packed(NODE), packed(late)])
    assert proxy.stale([untranslated(late, 30053), flow(NODE, POD_A, 30053)]) == [untranslated(late, 30053)]
    proxy.flows.set_node_port_addresses([packed(NODE)])
    assert not proxy.flows.pending


def test_families_are_apart() -> None:
    addresses: dict[str, Any] = {"clusterIPs": [VIP, "fd00:96::a"]}
    six = pods("fd00:244::1", name="dns-6", family="IPv6")
    proxy = Proxy(dns(**addresses), pods(POD_A), six)
    proxy.put(pods("fd00:244::2", name="dns-6", family="IPv6"))
    (check,) = proxy.flows.take()
    assert check.family is Family.IPV6
    assert list(check.stale([flow("fd00:96::a", "fd00:244::1")])) == [flow("fd00:96::a", "fd00:244::1")]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(pods(POD_B, POD_A), id="another order"),
        pytest.param(pods(POD_A, POD_B, POD_C), id="one more"),
        pytest.param(pods(endpoint(POD_A, ready=False, terminating=True), POD_B), id="one that drains"),
        pytest.param(pods(endpoint(POD_A, zones=["far"]), endpoint(POD_B, zones=["near"])), id="topology hints"),
        pytest.param(dns(externalTrafficPolicy="Local", internalTrafficPolicy="Local"), id="policies"),
        pytest.param(dns(sessionAffinity="ClientIP"), id="affinity"),
    ],
)
def test_what_ends_no_flow_is_not_checked(change: Service | EndpointSlice) -> None:
    proxy = Proxy(dns(), node(zone="near"), pods(POD_A, POD_B))
    proxy.put(change)
    assert not proxy.flows.pending


def test_an_endpoint_that_no_longer_serves_ends_its_flows() -> None:
    proxy = Proxy(dns(), pods(POD_A, POD_B))
    proxy.put(pods(endpoint(POD_A, ready=False, serving=False, terminating=True), POD_B))
    assert proxy.stale([TO_A, TO_B]) == [TO_A]


def test_tcp_is_nobodys_business() -> None:
    class Unasked(Served):
        def slices(self, name: ServiceName) -> Collection[PackedSlice]:
            raise AssertionError

        def ports(self, name: ServiceName, family: Family) -> tuple[ServicePort, ...]:
            raise AssertionError

    served, flows = Unasked(), ServedFlows(BOTH)
    served.upsert(service("web"))
    served.upsert(slice_of("web", POD_A))
    flows.changed(served.changes(), served)
    served.remove(Service, "web")
    flows.changed(served.changes(), served)
    assert not flows.pending


def test_a_service_that_turns_to_tcp_lets_its_flows_go() -> None:
    proxy = Proxy(dns(), pods(POD_A))
    proxy.put(dns(ports=[{**DNS_PORT, "protocol": "TCP"}]))
    assert proxy.stale([TO_A]) == [TO_A]


@pytest.mark.parametrize("newcomer_first", [True, False])
def test_an_address_that_passes_to_another_service_has_that_ones_endpoints(newcomer_first: bool) -> None:
    proxy = Proxy(dns(), pods(POD_A))
    proxy.served.remove(Service, "dns")
    proxy.served.upsert(dns("other"))
    proxy.served.upsert(pods(POD_B, service="other"))
    for name in sorted(proxy.served.changes(), reverse=newcomer_first):
        proxy.flows.changed([name], proxy.served)
    assert proxy.stale([TO_A, TO_B]) == [TO_A]


def test_a_check_that_could_not_be_made_is_made_later_with_what_is_true_then() -> None:
    proxy = Proxy(dns(), pods(POD_A, POD_B))
    proxy.put(pods(POD_B))
    failed = proxy.flows.take()
    proxy.remove((Service, "dns"))
    proxy.flows.restore(failed)
    assert proxy.stale([TO_A, TO_B, TO_C]) == [TO_A, TO_B]


def test_a_recheck_takes_everything_that_is_served() -> None:
    proxy = Proxy(dns(), pods(POD_A))
    proxy.flows.recheck()
    assert proxy.stale([TO_A, TO_B, untranslated(VIP)]) == [TO_B, untranslated(VIP)]


def test_a_check_of_one_destination_says_so() -> None:
    proxy = Proxy(dns(externalIPs=["203.0.113.1"]), pods(POD_A))
    proxy.put(dns(externalIPs=["203.0.113.2"]), dns("more", clusterIP="10.96.0.11"))
    (check,) = proxy.flows.take()
    assert (check.only_port, check.only_address) == (53, None)
    proxy.remove((Service, "more"))
    (check,) = proxy.flows.take()
    assert (check.only_port, check.only_address) == (53, packed("10.96.0.11"))
    proxy.put(node_port_service())
    (check,) = proxy.flows.take()
    assert (check.only_port, check.only_address) == (None, None)
