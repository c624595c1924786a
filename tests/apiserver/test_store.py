"""The store without HTTP: versions, concurrency, deletion, namespaces."""

from datetime import UTC, datetime

import pytest

from kproxy.apiserver import Store
from kproxy.apiserver.errors import ApiError
from kproxy.apiserver.resources import ENDPOINT_SLICES, EVENTS, NAMESPACES, NODES, SERVICES
from tests.apiserver.builders import endpoint_slice, service


def meta_of(store: Store, name: str = "web") -> dict[str, object]:
    metadata: dict[str, object] = store.get(SERVICES, "default", name).decode()["metadata"]
    return metadata


def test_a_write_of_any_resource_moves_the_one_counter(store: Store) -> None:
    first = int(store.apply(service())["metadata"]["resourceVersion"])
    second = int(store.apply(endpoint_slice())["metadata"]["resourceVersion"])
    assert (first, second) == (store.resource_version - 1, store.resource_version)


def test_creation_sets_the_system_fields() -> None:
    store = Store(clock=lambda: datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC))
    meta = store.apply(service())["metadata"]
    assert meta["creationTimestamp"] == "2026-02-03T04:05:06Z"
    assert len(meta["uid"]) == 36


def test_an_equal_object_is_no_write(store: Store) -> None:
    store.apply(service())
    before = store.resource_version
    store.apply(service())
    store.update(SERVICES, service())
    assert store.resource_version == before


def test_the_key_order_of_an_equal_object_does_not_matter(store: Store) -> None:
    stored = store.apply(service())
    before = store.resource_version
    stored["spec"] = dict(reversed(stored["spec"].items()))
    store.update(SERVICES, stored)
    assert store.resource_version == before


def test_a_stale_resource_version_is_a_conflict(store: Store) -> None:
    old = store.apply(service())
    store.apply(service(labels={"a": "b"}))
    with pytest.raises(ApiError) as caught:
        store.update(SERVICES, old)
    assert (caught.value.code, caught.value.reason) == (409, "Conflict")
    assert "the object has been modified" in caught.value.message


def test_system_fields_survive_a_client_that_rewrites_them(store: Store) -> None:
    before = store.apply(service())["metadata"]
    changed = service(labels={"a": "b"})
    changed["metadata"]["creationTimestamp"] = "1999-01-01T00:00:00Z"
    store.update(SERVICES, changed)
    assert meta_of(store)["creationTimestamp"] == before["creationTimestamp"]
    assert meta_of(store)["uid"] == before["uid"]


def test_another_uid_is_a_conflict(store: Store) -> None:
    store.apply(service())
    changed = service()
    changed["metadata"]["uid"] = "someone-else"
    with pytest.raises(ApiError, match="UID in precondition"):
        store.update(SERVICES, changed)


def test_generate_name_makes_distinct_names(store: Store) -> None:
    obj = service()
    obj["metadata"] = {"generateName": "web-", "namespace": "default"}
    names = {store.create(SERVICES, obj).name for _ in range(20)}
    assert len(names) == 20
    assert all(name.startswith("web-") and len(name) == 9 for name in names)


def test_status_and_spec_are_written_apart(store: Store) -> None:
    balancer = service(type="LoadBalancer")
    store.apply(balancer)
    ingress = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    store.update(SERVICES, {**service(), "status": ingress}, status=True)
    obj = store.get(SERVICES, "default", "web").decode()
    assert obj["status"]["loadBalancer"]["ingress"] == [{"ip": "192.0.2.1", "ipMode": "VIP"}]
    assert obj["spec"]["type"] == "LoadBalancer"
    store.update(SERVICES, {**balancer, "status": {}})
    assert store.get(SERVICES, "default", "web").decode()["status"] == obj["status"]


def test_apply_keeps_a_status_that_it_does_not_mention_and_sets_one_that_it_does(store: Store) -> None:
    store.apply(service(type="LoadBalancer") | {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}})
    assert store.apply(service(type="LoadBalancer", externalIPs=["192.0.2.9"]))["status"]["loadBalancer"]["ingress"]


def test_finalizers_delay_a_deletion(store: Store) -> None:
    obj = service()
    obj["metadata"]["finalizers"] = ["example.com/hold"]
    store.apply(obj)
    store.delete("Service", "web")
    assert "deletionTimestamp" in meta_of(store)
    store.update(SERVICES, service())
    with pytest.raises(ApiError, match='services "web" not found'):
        store.get(SERVICES, "default", "web")


def test_preconditions_of_a_deletion(store: Store) -> None:
    store.apply(service())
    with pytest.raises(ApiError) as caught:
        store.remove(SERVICES, "default", "web", preconditions={"uid": "another"})
    assert caught.value.code == 409


def test_a_namespace_takes_its_objects_along_and_nothing_else(store: Store) -> None:
    store.apply(service(namespace="shop"))
    store.apply(service())
    store.delete("Namespace", "shop")
    assert [obj.key for obj in store.collection(SERVICES)] == [("default", "web")]
    assert store.collection(NAMESPACES).get(("", "shop")) is None


def test_a_dry_run_changes_nothing(store: Store) -> None:
    before = store.resource_version
    store.create(SERVICES, service(type="NodePort"), dry_run=True)
    assert store.resource_version == before
    assert len(store.collection(SERVICES)) == 0
    first = store.apply(service("other", type="NodePort", clusterIP="10.96.0.9"))
    store.remove(SERVICES, "default", "other", dry_run=True)
    assert store.get(SERVICES, "default", "other").uid == first["metadata"]["uid"]


def test_the_generation_of_a_slice_follows_its_content(store: Store) -> None:
    assert store.apply(endpoint_slice())["metadata"]["generation"] == 1
    assert store.apply(endpoint_slice("web-1", "10.1.0.2"))["metadata"]["generation"] == 2
    held = endpoint_slice("web-1", "10.1.0.2")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    assert store.apply(held)["metadata"]["generation"] == 2


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        ({"apiVersion": "v1", "kind": "Nonsense", "metadata": {"name": "x"}}, 'no resource has the kind "Nonsense"'),
        ({}, "no resource has the kind"),
        (service() | {"spec": {"ports": [{"port": "80"}]}}, "cannot read string in the field spec.ports"),
        (service() | {"metadata": "web"}, "cannot read string in the field metadata"),
        (service("UPPER"), "metadata.name"),
        (service(labels={"a/b/c": "d"}), "metadata.labels"),
        ({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "namespace": "x"}}, "metadata.namespace"),
    ],
)
def test_objects_that_do_not_fit_are_refused(store: Store, obj: dict[str, object], message: str) -> None:
    before = store.resource_version
    with pytest.raises(ApiError, match=message):
        store.apply(obj)
    assert store.resource_version == before


def test_unknown_fields_and_nulls_are_not_stored(store: Store) -> None:
    obj = service(colour="blue", externalName=None)
    assert "colour" not in store.apply(obj)["spec"]
    assert "externalName" not in store.apply(obj)["spec"]


def test_events_belong_into_the_namespace_of_what_they_are_about(store: Store) -> None:
    event = {
        "metadata": {"name": "e", "namespace": "default"},
        "involvedObject": {"kind": "Service", "name": "web", "namespace": "shop"},
    }
    with pytest.raises(ApiError, match="does not match event"):
        store.create(EVENTS, event)


def test_a_node_may_get_a_pod_cidr_but_not_another(store: Store) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}
    store.apply(node)
    assert store.apply({**node, "spec": {"podCIDR": "10.1.0.0/24"}})["spec"]["podCIDRs"] == ["10.1.0.0/24"]
    with pytest.raises(ApiError, match="may not change podCIDR"):
        store.apply({**node, "spec": {"podCIDR": "10.2.0.0/24"}})
    assert store.get(NODES, "", "n").decode()["spec"]["podCIDR"] == "10.1.0.0/24"


def test_a_subscriber_hears_of_writes_until_it_ends(store: Store) -> None:
    calls: list[int] = []
    end = store.collection(ENDPOINT_SLICES).subscribe(lambda: calls.append(store.resource_version))
    store.apply(endpoint_slice())
    store.apply(service())
    end()
    store.delete("EndpointSlice", "web-1")
    assert len(calls) == 1
