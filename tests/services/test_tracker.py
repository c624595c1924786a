"""Events in, changed Services out, and the model that a sync reads."""

from kproxy.services.addresses import Family, format_address, parse_address
from kproxy.services.model import ServiceName, ServicePort, Verdict
from kproxy.services.objects import EndpointSlice, Service
from kproxy.services.specification import Problem
from kproxy.services.tracker import ServiceTracker
from tests.services.builders import endpoint, node, service, slice_of

WEB = ServiceName("default", "web")


def ports(tracker: ServiceTracker, name: ServiceName = WEB) -> tuple[ServicePort, ...]:
    return tracker.ports(name, Family.IPV4)


def endpoints(tracker: ServiceTracker) -> list[str]:
    (port,) = ports(tracker)
    return sorted(f"{format_address(e.address)}:{e.port}" for e in port.cluster_endpoints)


def test_events_coalesce_into_one_changed_service() -> None:
    calls = []
    tracker = ServiceTracker("here", on_change=lambda: calls.append(1))
    tracker.upsert(service())
    tracker.upsert(slice_of("web", "10.0.0.1"))
    tracker.upsert(slice_of("web", "10.0.0.1", "10.0.0.2"))
    assert tracker.pending == (1, 2)
    assert tracker.take().services == {WEB}
    assert tracker.take().services == set()
    assert len(calls) == 3
    assert endpoints(tracker) == ["10.0.0.1:8080", "10.0.0.2:8080"]


def test_an_object_that_says_the_same_changes_nothing() -> None:
    tracker = ServiceTracker("here")
    for _ in range(2):
        tracker.upsert(service())
        tracker.upsert(slice_of("web", "10.0.0.1"))
    tracker.take()
    tracker.upsert(service(labels={"new": "label"}))
    tracker.upsert(slice_of("web", "10.0.0.1", resourceVersion="7"))
    assert tracker.take() == (set(), [], 0, 0)


def test_slices_are_merged_and_duplicates_count_once() -> None:
    tracker = ServiceTracker("here")
    tracker.upsert(service())
    tracker.upsert(slice_of("web", "10.0.0.1", "10.0.0.2", name="web-1"))
    tracker.upsert(slice_of("web", "10.0.0.2", "10.0.0.3", name="web-2"))
    assert endpoints(tracker) == ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"]
    tracker.delete(EndpointSlice, "default", "web-1")
    assert endpoints(tracker) == ["10.0.0.2:8080", "10.0.0.3:8080"]


def test_a_named_port_may_differ_by_slice() -> None:
    tracker = ServiceTracker("here")
    tracker.upsert(service())
    tracker.upsert(slice_of("web", "10.0.0.1", name="web-1"))
    tracker.upsert(slice_of("web", "10.0.0.2", name="web-2", ports=(("http", 9090),)))
    assert endpoints(tracker) == ["10.0.0.1:8080", "10.0.0.2:9090"]


def test_a_slice_can_move_to_another_service() -> None:
    tracker = ServiceTracker("here")
    tracker.upsert(service())
    tracker.upsert(service("api", clusterIP="10.96.0.11"))
    tracker.upsert(slice_of("web", "10.0.0.1", name="s"))
    tracker.take()
    tracker.upsert(slice_of("api", "10.0.0.1", name="s"))
    assert tracker.take().services == {WEB, ServiceName("default", "api")}
    assert ports(tracker)[0].internal_verdict is Verdict.REJECT


def test_slices_may_come_before_their_service_and_stay_after_it() -> None:
    tracker = ServiceTracker("here")
    tracker.upsert(slice_of("web", "10.0.0.1"))
    assert ports(tracker) == ()
    tracker.upsert(service())
    assert endpoints(tracker) == ["10.0.0.1:8080"]
    tracker.delete(Service, "default", "web")
    assert tracker.take().services == {WEB}
    assert ports(tracker) == ()


def test_bad_endpoints_are_reported_and_left_out() -> None:
    problems: list[Problem] = []
    tracker = ServiceTracker("here", on_problem=problems.append)
    tracker.upsert(service())
    tracker.upsert(slice_of("web", "10.0.0.1", "fd00::1", "nonsense", {"addresses": []}))
    assert endpoints(tracker) == ["10.0.0.1:8080"]
    assert [p.field for p in problems] == [f"endpoints[{i}].addresses" for i in (1, 2, 3)]


def test_slices_of_host_names_are_ignored() -> None:
    problems: list[Problem] = []
    tracker = ServiceTracker("here", on_problem=problems.append)
    tracker.upsert(service())
    tracker.upsert(slice_of("web", "example.org", family="FQDN"))
    assert ports(tracker)[0].has_endpoints is False
    assert not problems


def test_endpoints_of_this_node_are_local() -> None:
    tracker = ServiceTracker("here")
    tracker.upsert(service(internalTrafficPolicy="Local"))
    tracker.upsert(slice_of("web", endpoint("10.0.0.1", nodeName="here"), endpoint("10.0.0.2", nodeName="there")))
    (port,) = ports(tracker)
    assert [e.address for e in port.internal_endpoints] == [parse_address("10.0.0.1")]


def test_when_the_node_moves_to_another_zone_only_hinted_services_change() -> None:
    tracker = ServiceTracker("here")
    tracker.upsert(node("here", zone="a"))
    tracker.upsert(service())
    tracker.upsert(service("plain", clusterIP="10.96.0.11"))
    tracker.upsert(slice_of("web", endpoint("10.0.0.1", zones=["a"]), endpoint("10.0.0.2", zones=["b"])))
    tracker.upsert(slice_of("plain", "10.0.0.3"))
    tracker.take()
    assert endpoints(tracker) == ["10.0.0.1:8080"]
    tracker.upsert(node("here", zone="b"))
    assert tracker.take().services == {WEB}
    assert endpoints(tracker) == ["10.0.0.2:8080"]


def test_when_a_change_happened_is_passed_on() -> None:
    tracker = ServiceTracker("here")
    when = "2026-01-01T00:00:00Z"
    tracker.upsert(slice_of("web", "10.0.0.1", annotations={"endpoints.kubernetes.io/last-change-trigger-time": when}))
    assert tracker.take().triggered == [when]


def test_an_address_that_two_services_claim_belongs_to_the_older() -> None:
    problems: list[Problem] = []
    tracker = ServiceTracker("here", on_problem=problems.append)
    younger = service("younger", created="2026-02-01T00:00:00Z", externalIPs=["203.0.113.1"])
    tracker.upsert(younger)
    assert ports(tracker, ServiceName("default", "younger"))[0].external_ips
    tracker.upsert(service("older", clusterIP="10.96.0.11", externalIPs=["203.0.113.1"]))
    assert tracker.take().services == {ServiceName("default", "younger"), ServiceName("default", "older")}
    assert ports(tracker, ServiceName("default", "younger"))[0].external_ips == ()
    assert ports(tracker, ServiceName("default", "older"))[0].external_ips
    tracker.delete(Service, "default", "older")
    assert ports(tracker, ServiceName("default", "younger"))[0].external_ips


def test_a_newcomer_is_told_that_its_address_is_taken() -> None:
    problems: list[Problem] = []
    tracker = ServiceTracker("here", on_problem=problems.append)
    tracker.upsert(service("older", type="NodePort", ports=[{"port": 80, "nodePort": 30080}]))
    tracker.upsert(
        service(
            "younger",
            clusterIP="10.96.0.11",
            created="2026-02-01T00:00:00Z",
            type="NodePort",
            ports=[{"port": 80, "nodePort": 30080}],
        )
    )
    assert [str(p) for p in problems] == [
        "Service default/younger: node port 30080/TCP: belongs to the older Service default/older"
    ]
