"""Discovery, OpenAPI, tables, media types, authentication, TLS."""

import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kproxy.apiserver import ApiServer, Store
from kproxy.apiserver.http.columns import duration
from tests.apiserver.builders import SERVICES, endpoint_slice, service

TABLE = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)


async def get(http: aiohttp.ClientSession, path: str, accept: str = "application/json", code: int = 200) -> Any:
    async with http.get(path, headers={"Accept": accept}) as response:
        assert response.status == code, await response.text()
        return await response.json()


async def test_discovery(http: aiohttp.ClientSession) -> None:
    assert (await get(http, "/api"))["versions"] == ["v1"]
    core = {entry["name"]: entry for entry in (await get(http, "/api/v1"))["resources"]}
    assert core["services"]["shortNames"] == ["svc"]
    assert core["services/status"]["verbs"] == ["get", "patch", "update"]
    assert core["nodes"]["namespaced"] is False
    groups = [group["name"] for group in (await get(http, "/apis"))["groups"]]
    assert "discovery.k8s.io" in groups
    assert (await get(http, "/apis/discovery.k8s.io"))["preferredVersion"]["groupVersion"] == "discovery.k8s.io/v1"
    slices = await get(http, "/apis/discovery.k8s.io/v1")
    assert slices["resources"][0]["name"] == "endpointslices"


async def test_aggregated_discovery_is_answered_in_the_plain_form(http: aiohttp.ClientSession) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    assert (await get(http, "/apis", accept))["kind"] == "APIGroupList"


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
async def test_health(http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(path) as response:
        assert (response.status, await response.text()) == (200, "ok")


async def test_openapi_v3_tells_kubectl_how_lists_merge(http: aiohttp.ClientSession) -> None:
    index = await get(http, "/openapi/v3")
    document = await get(http, index["paths"]["api/v1"]["serverRelativeURL"])
    schemas = document["components"]["schemas"]
    ports = schemas["io.k8s.api.core.v1.ServiceSpec"]["properties"]["ports"]
    assert (ports["x-kubernetes-patch-merge-key"], ports["x-kubernetes-list-map-keys"]) == (
        "port",
        ["port", "protocol"],
    )
    assert ports["items"]["$ref"] in {f"#/components/schemas/{name}" for name in schemas}
    patch = document["paths"]["/api/v1/namespaces/{namespace}/services/{name}"]["patch"]
    assert "fieldValidation" in {parameter["name"] for parameter in patch["parameters"]}
    await get(http, "/openapi/v3/apis/nonsense/v1", code=404)


async def test_openapi_references_all_resolve(http: aiohttp.ClientSession) -> None:
    document = await get(http, "/openapi/v2")

    def references(node: Any) -> set[str]:
        if isinstance(node, dict):
            found = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
            return found.union(*(references(value) for value in node.values()))
        return set().union(*(references(value) for value in node)) if isinstance(node, list) else set()

    assert references(document) <= {f"#/definitions/{name}" for name in document["definitions"]}


async def test_openapi_v2_as_protobuf_is_an_empty_document(http: aiohttp.ClientSession) -> None:
    accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    async with http.get("/openapi/v2", headers={"Accept": accept}) as response:
        assert (response.status, await response.read()) == (200, b"")
    await get(http, "/openapi/v2", "text/html", 406)


async def test_tables(store: Store, http: aiohttp.ClientSession) -> None:
    status = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    store.apply(service(type="LoadBalancer", externalIPs=["192.0.2.9"]) | {"status": status})
    table = await get(http, SERVICES, TABLE)
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    named = [(column["name"], column["priority"]) for column in table["columnDefinitions"]]
    assert named[:2] == [("Name", 0), ("Type", 0)]
    assert named[-1] == ("Selector", 1)
    cells = table["rows"][0]["cells"]
    assert cells[:5] == ["web", "LoadBalancer", "10.96.1.1", "192.0.2.1,192.0.2.9", "80:30000/TCP"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    store.apply(endpoint_slice("web-1", *(f"10.1.0.{number}" for number in range(1, 6))))
    table = await get(http, "/apis/discovery.k8s.io/v1/endpointslices?includeObject=None", TABLE)
    assert table["rows"][0]["cells"][:4] == ["web-1", "IPv4", "8080", "10.1.0.1,10.1.0.2,10.1.0.3 + 2 more..."]
    assert "object" not in table["rows"][0]
    await get(http, f"{SERVICES}?includeObject=Half", TABLE, 400)


async def test_metadata_only(store: Store, http: aiohttp.ClientSession) -> None:
    store.apply(service())
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    partial = await get(http, SERVICES, accept)
    assert partial["kind"] == "PartialObjectMetadataList"
    assert partial["items"][0].keys() == {"kind", "apiVersion", "metadata"}


@pytest.mark.parametrize("path", [SERVICES, SERVICES + "?watch=true", SERVICES + "/web", "/api", "/openapi/v3"])
async def test_clients_that_take_no_json_are_told(store: Store, http: aiohttp.ClientSession, path: str) -> None:
    store.apply(service())
    status = await get(http, path, "application/vnd.kubernetes.protobuf", 406)
    assert (status["kind"], status["reason"]) == ("Status", "NotAcceptable")


@pytest.mark.parametrize("rest", [", */*", ",application/json"])
async def test_clients_that_take_json_too_get_it(store: Store, http: aiohttp.ClientSession, rest: str) -> None:
    store.apply(service())
    assert (await get(http, SERVICES, "application/vnd.kubernetes.protobuf" + rest))["kind"] == "ServiceList"


async def test_a_token_is_required_but_for_health() -> None:
    async with ApiServer(token="secret") as server:
        async with aiohttp.ClientSession(server.url) as http:
            status = await get(http, SERVICES, code=401)
            assert status["reason"] == "Unauthorized"
            async with http.get("/readyz") as response:
                assert response.status == 200
        for token, code in (("secret", 200), ("Secret", 401), ("", 401)):
            async with aiohttp.ClientSession(server.url, headers={"Authorization": f"Bearer {token}"}) as http:
                await get(http, SERVICES, code=code)


async def test_tls(certificate: Path, tls: ssl.SSLContext) -> None:
    trusting = ssl.create_default_context(cafile=certificate)
    async with ApiServer(ssl_context=tls) as server:
        assert server.url.startswith("https://127.0.0.1:")
        async with aiohttp.ClientSession(server.url, connector=aiohttp.TCPConnector(ssl=trusting)) as http:
            assert (await get(http, "/version"))["major"] == "1"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (3600, "60m"),
        (3 * 3600 + 60, "3h1m"),
        (9 * 3600, "9h"),
        (49 * 3600, "2d1h"),
        (30 * 86400, "30d"),
        (800 * 86400, "2y70d"),
        (-5, "<invalid>"),
    ],
)
def test_ages(seconds: int, text: str) -> None:
    assert duration(seconds) == text
