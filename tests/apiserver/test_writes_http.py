"""Writes over HTTP, and what the server says to those that it refuses."""

from typing import Any

import aiohttp
import pytest

from kproxy.apiserver import Store
from kproxy.apiserver.resources import SERVICES as SERVICES_RESOURCE
from tests.apiserver.builders import SERVICES, SLICES, endpoint_slice, service

WEB = f"{SERVICES}/web"
MERGE = {"Content-Type": "application/merge-patch+json"}


async def send(
    http: aiohttp.ClientSession, method: str, path: str, body: Any = None, code: int = 200, **options: Any
) -> Any:
    async with http.request(method, path, json=body, **options) as response:
        answer = await response.json()
        assert response.status == code, answer
        return answer


async def test_create_get_replace_delete(http: aiohttp.ClientSession) -> None:
    created = await send(http, "POST", SERVICES, service(), 201)
    assert (created["kind"], created["spec"]["clusterIP"]) == ("Service", "10.96.1.1")
    assert await send(http, "GET", WEB) == created
    created["spec"]["selector"] = {"app": "web"}
    replaced = await send(http, "PUT", WEB, created)
    assert replaced["spec"]["selector"] == {"app": "web"}
    conflict = await send(http, "PUT", WEB, created | {"spec": {**created["spec"], "type": "NodePort"}}, 409)
    assert conflict["reason"] == "Conflict"
    deleted = await send(http, "DELETE", WEB)
    assert (deleted["status"], deleted["details"]["uid"]) == ("Success", created["metadata"]["uid"])
    missing = await send(http, "GET", WEB, code=404)
    assert missing == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'services "web" not found',
        "reason": "NotFound",
        "details": {"name": "web", "kind": "services"},
        "code": 404,
    }


async def test_an_existing_name_is_refused(http: aiohttp.ClientSession) -> None:
    await send(http, "POST", SLICES, endpoint_slice(), 201)
    status = await send(http, "POST", SLICES, endpoint_slice(), 409)
    assert status["reason"] == "AlreadyExists"
    assert status["message"] == 'endpointslices.discovery.k8s.io "web-1" already exists'


async def test_an_invalid_object_names_the_fields_at_fault(http: aiohttp.ClientSession) -> None:
    status = await send(http, "POST", SERVICES, service(ports=[{"port": 0}]), 422)
    assert status["reason"] == "Invalid"
    assert status["message"] == (
        'Service "web" is invalid: spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive'
    )
    assert status["details"]["causes"] == [
        {
            "reason": "FieldValueInvalid",
            "message": "Invalid value: 0: must be between 1 and 65535, inclusive",
            "field": "spec.ports[0].port",
        }
    ]


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", "/api/v1/namespaces/nowhere/services", service(namespace="nowhere"), 404),
        ("POST", SERVICES, service(namespace="shop"), 400),
        ("POST", SERVICES, endpoint_slice(), 400),
        ("POST", SERVICES, [], 400),
        ("POST", SERVICES, service(ports=[{"port": "http"}]), 400),
        ("POST", SERVICES, service() | {"metadata": {"name": "x", "resourceVersion": "1"}}, 400),
        ("POST", SERVICES + "?dryRun=Some", service(), 400),
        ("POST", SERVICES + "?fieldValidation=Loose", service(), 400),
        ("PUT", f"{SERVICES}/other", service(), 400),
        ("PUT", WEB, service(), 404),
        ("PUT", SERVICES, service(), 405),
        ("GET", "/api/v1/replicationcontrollers", None, 404),
        ("GET", "/nothing", None, 404),
        ("GET", "/apis/batch", None, 404),
        ("DELETE", WEB, None, 404),
        ("DELETE", WEB, {"preconditions": 1}, 400),
    ],
)
async def test_requests_that_are_refused(
    store: Store, http: aiohttp.ClientSession, method: str, path: str, body: Any, code: int
) -> None:
    before = store.resource_version
    status = await send(http, method, path, body, code)
    assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", code)
    assert store.resource_version == before


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        (b"{", "application/json", 400),
        (b'{"a": ' * 100_000, "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"a: &a [*a]", "application/yaml", 400),
        (b"a: [", "application/yaml", 400),
        (b"<xml/>", "text/xml", 415),
        (b"k8s\x00\xff", "application/vnd.kubernetes.protobuf", 400),
        (b"{}" + b" " * (3 * 1024 * 1024), "application/json", 413),
    ],
)
async def test_bodies_that_cannot_be_read(
    http: aiohttp.ClientSession, body: bytes, content_type: str, code: int
) -> None:
    async with http.post(SERVICES, data=body, headers={"Content-Type": content_type}) as response:
        assert response.status == code
        assert (await response.json())["kind"] == "Status"


async def test_yaml_bodies_keep_timestamps_as_text(http: aiohttp.ClientSession) -> None:
    body = (
        b"apiVersion: v1\nkind: Service\nmetadata: {name: web, annotations: {at: 2026-01-01}}\n"
        b"spec: {ports: [{port: 80}]}"
    )
    async with http.post(SERVICES, data=body, headers={"Content-Type": "application/yaml"}) as response:
        assert (await response.json())["metadata"]["annotations"] == {"at": "2026-01-01"}


async def test_unknown_fields_warn_or_are_refused(http: aiohttp.ClientSession) -> None:
    async with http.post(SERVICES, json=service(colour="blue")) as response:
        assert response.status == 201
        assert response.headers.getall("Warning") == ['299 - "unknown field \\"spec.colour\\""']
    async with http.post(f"{SERVICES}?fieldValidation=Ignore", json=service("b", colour="blue")) as response:
        assert "Warning" not in response.headers
    status = await send(http, "POST", f"{SERVICES}?fieldValidation=Strict", service("c", colour="blue"), 400)
    assert 'strict decoding error: unknown field "spec.colour"' in status["message"]


async def test_patches_of_every_kind(store: Store, http: aiohttp.ClientSession) -> None:
    store.apply(service(ports=[{"name": "a", "port": 80}, {"name": "b", "port": 81}]))
    strategic = {"spec": {"ports": [{"port": 81, "targetPort": 8081}]}}
    kind = {"Content-Type": "application/strategic-merge-patch+json"}
    patched = await send(http, "PATCH", WEB, strategic, headers=kind)
    assert [port["targetPort"] for port in patched["spec"]["ports"]] == [80, 8081]
    patched = await send(http, "PATCH", WEB, {"metadata": {"labels": {"a": "b"}}}, headers=MERGE)
    assert patched["metadata"]["labels"] == {"a": "b"}
    kind = {"Content-Type": "application/json-patch+json"}
    patched = await send(http, "PATCH", WEB, [{"op": "remove", "path": "/spec/ports/0"}], headers=kind)
    assert [port["name"] for port in patched["spec"]["ports"]] == ["b"]


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        ({"metadata": {"name": "other"}}, 400),
        ({"kind": "Node"}, 400),
        ({"metadata": {"resourceVersion": "1"}}, 409),
        ({"spec": {"ports": None}}, 422),
        ({"spec": {"ports": "many"}}, 400),
        ({"metadata": None}, 200),
    ],
)
async def test_patches_that_go_too_far(store: Store, http: aiohttp.ClientSession, patch: Any, code: int) -> None:
    store.apply(service())
    await send(http, "PATCH", WEB, patch, code, headers=MERGE)
    assert store.get(SERVICES_RESOURCE, "default", "web").decode()["spec"]["ports"][0]["port"] == 80


async def test_a_patch_of_an_unknown_type(store: Store, http: aiohttp.ClientSession) -> None:
    store.apply(service())
    status = await send(http, "PATCH", WEB, {}, 415)
    assert "application/strategic-merge-patch+json" in status["message"]


async def test_the_status_subresource(store: Store, http: aiohttp.ClientSession) -> None:
    store.apply(service(type="LoadBalancer"))
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}, "spec": {"type": "ClusterIP"}}
    patched = await send(http, "PATCH", f"{WEB}/status", status, headers=MERGE)
    assert patched["spec"]["type"] == "LoadBalancer"
    assert (await send(http, "GET", f"{WEB}/status"))["status"] == patched["status"]
    patched = await send(http, "PATCH", WEB, {"status": None}, headers=MERGE)
    assert patched["status"]["loadBalancer"]["ingress"][0]["ip"] == "192.0.2.1"
    assert (await send(http, "PUT", f"{WEB}/status", patched | {"status": {}}))["status"] == {}


async def test_a_new_service_has_no_status_of_its_own_making(http: aiohttp.ClientSession) -> None:
    status = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    assert "status" not in await send(http, "POST", SERVICES, service(type="LoadBalancer") | {"status": status}, 201)
    node = {"metadata": {"name": "n"}, "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]}}
    assert (await send(http, "POST", "/api/v1/nodes", node, 201))["status"] == node["status"]


async def test_patches_that_are_nested_too_deeply(store: Store, http: aiohttp.ClientSession) -> None:
    store.apply(service())
    async with http.patch(WEB, data=b'{"spec":' * 990 + b"{}" + b"}" * 990, headers=MERGE) as response:
        assert response.status == 400


async def test_dry_runs_answer_but_do_not_store(store: Store, http: aiohttp.ClientSession) -> None:
    before = store.resource_version
    created = await send(http, "POST", f"{SERVICES}?dryRun=All", service(), 201)
    assert created["spec"]["clusterIP"]
    assert store.resource_version == before
    store.apply(service())
    await send(http, "DELETE", WEB, {"dryRun": ["All"]})
    patched = await send(http, "PATCH", f"{WEB}?dryRun=All", {"metadata": {"labels": {"a": "b"}}}, headers=MERGE)
    assert patched["metadata"]["labels"] == {"a": "b"}
    assert "labels" not in store.get(SERVICES_RESOURCE, "default", "web").decode()["metadata"]


async def test_a_collection_is_deleted_by_selector(store: Store, http: aiohttp.ClientSession) -> None:
    for name, labels in (("a", {"x": "y"}), ("b", {"x": "y"}), ("c", {"x": "z"})):
        store.apply(service(name, labels=labels))
    gone = await send(http, "DELETE", f"{SERVICES}?labelSelector=x%3Dy")
    assert [item["metadata"]["name"] for item in gone["items"]] == ["a", "b"]
    assert [obj.name for obj in store.collection(SERVICES_RESOURCE)] == ["c"]


async def test_events_are_one_resource_in_two_versions(http: aiohttp.ClientSession) -> None:
    new = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "e", "namespace": "default"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "note": "it started",
        "reason": "Starting",
        "regarding": {"kind": "Node", "name": "n"},
        "reportingController": "kproxy",
        "type": "Normal",
    }
    path = "/apis/events.k8s.io/v1/namespaces/default/events"
    created = await send(http, "POST", path, new, 201)
    assert (created["apiVersion"], created["note"]) == ("events.k8s.io/v1", "it started")
    core = await send(http, "GET", "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dn")
    assert core["items"][0]["message"] == "it started"
    assert core["items"][0]["involvedObject"] == {"kind": "Node", "name": "n"}
    series = {"series": {"count": 2, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}}
    patched = await send(http, "PATCH", f"{path}/e", series, headers=MERGE)
    assert (patched["series"]["count"], patched["note"]) == (2, "it started")
    assert len((await send(http, "GET", f"{path}?fieldSelector=regarding.kind%3DNode"))["items"]) == 1
