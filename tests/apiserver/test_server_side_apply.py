"""Server-side apply over HTTP: ownership, conflicts, and what happens to fields that are no longer applied."""

from typing import Any

import aiohttp

from kproxy.apiserver import Store
from tests.apiserver.builders import SERVICES, service

WEB = f"{SERVICES}/web"
APPLY = {"Content-Type": "application/apply-patch+yaml"}


async def apply(http: aiohttp.ClientSession, obj: Any, manager: str, code: int = 200, *, force: bool = False) -> Any:
    query = {"fieldManager": manager} | ({"force": "true"} if force else {})
    async with http.patch(WEB, json=obj, params=query, headers=APPLY) as response:
        body = await response.json()
        assert response.status == code, body
        return body


def applied(**spec: Any) -> Any:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}


HTTP_PORT = {"name": "http", "port": 80}
HTTPS_PORT = {"name": "https", "port": 443}


async def test_apply_creates_and_records_its_fields(http: aiohttp.ClientSession) -> None:
    created = await apply(http, applied(ports=[HTTP_PORT], selector={"a": "b"}), "one", 201)
    (entry,) = created["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["apiVersion"]) == ("one", "Apply", "v1")
    key = 'k:{"port":80,"protocol":"TCP"}'
    assert entry["fieldsV1"] == {"f:spec": {"f:ports": {key: {".": {}, "f:name": {}, "f:port": {}}}, "f:selector": {}}}
    again = await apply(http, applied(ports=[HTTP_PORT], selector={"a": "b"}), "one")
    assert again == created


async def test_two_managers_share_a_keyed_list(http: aiohttp.ClientSession) -> None:
    await apply(http, applied(ports=[HTTP_PORT]), "one", 201)
    both = await apply(http, applied(ports=[HTTPS_PORT]), "two")
    assert [port["port"] for port in both["spec"]["ports"]] == [80, 443]
    left = await apply(http, applied(ports=[HTTPS_PORT]), "one")
    assert [port["port"] for port in left["spec"]["ports"]] == [443]


async def test_a_field_that_another_owns_is_a_conflict_until_forced(http: aiohttp.ClientSession) -> None:
    await apply(http, applied(ports=[{**HTTP_PORT, "targetPort": 8080}]), "one", 201)
    status = await apply(http, applied(ports=[{**HTTP_PORT, "targetPort": 9090}]), "two", 409)
    assert status["details"]["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "one" using v1',
            "field": '.spec.ports[port=80,protocol="TCP"].targetPort',
        }
    ]
    forced = await apply(http, applied(ports=[{**HTTP_PORT, "targetPort": 9090}]), "two", force=True)
    assert forced["spec"]["ports"][0]["targetPort"] == 9090
    back = await apply(http, applied(ports=[{**HTTP_PORT, "targetPort": 8080}]), "one", 409)
    assert back["details"]["causes"][0]["message"] == 'conflict with "two" using v1'


async def test_fields_that_are_no_longer_applied_go_unless_shared(http: aiohttp.ClientSession) -> None:
    labelled = applied(ports=[HTTP_PORT]) | {"metadata": {"name": "web", "labels": {"mine": "1", "ours": "1"}}}
    await apply(http, labelled, "one", 201)
    await apply(http, applied() | {"metadata": {"name": "web", "labels": {"ours": "1"}}}, "two")
    left = await apply(http, applied(ports=[HTTP_PORT]), "one")
    assert left["metadata"]["labels"] == {"ours": "1"}


async def test_a_plain_update_takes_over_what_it_changes(http: aiohttp.ClientSession) -> None:
    await apply(http, applied(ports=[{**HTTP_PORT, "targetPort": 8080}]), "one", 201)
    patch = [{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 9090}]
    kind = {"Content-Type": "application/json-patch+json"}
    async with http.patch(WEB, json=patch, headers=kind, params={"fieldManager": "editor"}) as response:
        managers = {
            entry["manager"]: entry["operation"] for entry in (await response.json())["metadata"]["managedFields"]
        }
    assert managers == {"one": "Apply", "editor": "Update"}
    status = await apply(http, applied(ports=[{**HTTP_PORT, "targetPort": 8080}]), "one", 409)
    assert status["details"]["causes"][0]["message"] == 'conflict with "editor" using v1'


async def test_what_was_there_before_the_first_apply_has_an_owner(store: Store, http: aiohttp.ClientSession) -> None:
    store.apply(service(selector={"a": "b"}))
    status = await apply(http, applied(selector={"a": "c"}), "one", 409)
    assert status["details"]["causes"][0]["message"] == 'conflict with "before-first-apply" using v1'


async def test_applies_that_make_no_sense(http: aiohttp.ClientSession) -> None:
    await apply(http, applied(ports=[HTTP_PORT]), "", 400)
    await apply(http, {"metadata": {"name": "web"}}, "one", 400)
    await apply(http, applied(ports=[HTTP_PORT]) | {"metadata": {"managedFields": [{}]}}, "one", 400)
    await apply(http, ["web"], "one", 400)
