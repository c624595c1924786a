"""Lists over HTTP: pages, versions, selectors, compression."""

import gzip
import json
from typing import Any

import aiohttp
import pytest

from kproxy.apiserver import ApiServer, Store
from tests.apiserver.builders import SERVICES, endpoint_slice, service


async def get(http: aiohttp.ClientSession, path: str = SERVICES, code: int = 200, **query: str) -> Any:
    async with http.get(path, params=query) as response:
        body = await response.json()
        assert response.status == code, body
        return body


def names(body: Any) -> list[str]:
    return [item["metadata"]["name"] for item in body["items"]]


async def test_a_list_is_sorted_and_carries_the_store_version(store: Store, http: aiohttp.ClientSession) -> None:
    for name in ("c", "a", "b"):
        store.apply(service(name))
    store.apply(endpoint_slice())
    body = await get(http)
    assert (body["kind"], body["apiVersion"]) == ("ServiceList", "v1")
    assert names(body) == ["a", "b", "c"]
    assert body["metadata"] == {"resourceVersion": str(store.resource_version)}
    assert "kind" not in body["items"][0]


async def test_pages_are_one_consistent_list(store: Store, http: aiohttp.ClientSession) -> None:
    for name in ("a", "b", "d", "e"):
        store.apply(service(name))
    version = str(store.resource_version)
    first = await get(http, limit="2")
    assert (names(first), first["metadata"]["remainingItemCount"]) == (["a", "b"], 2)
    store.apply(service("c"))
    store.delete("Service", "d")
    store.apply(service("e", labels={"new": "yes"}))
    second = await get(http, limit="2", **{"continue": first["metadata"]["continue"]})
    assert names(second) == ["d", "e"]
    assert "labels" not in second["items"][1]["metadata"]
    assert second["metadata"] == {"resourceVersion": version}
    assert names(await get(http)) == ["a", "b", "c", "e"]


async def test_a_page_token_expires_with_the_history() -> None:
    store = Store(history=4)
    async with ApiServer(store) as server, aiohttp.ClientSession(server.url) as http:
        for name in ("a", "b", "c"):
            store.apply(service(name))
        token = (await get(http, limit="1"))["metadata"]["continue"]
        for round_ in range(6):
            store.apply(service("b", labels={"round": str(round_)}))
        status = await get(http, limit="1", code=410, **{"continue": token})
        assert status["reason"] == "Expired"
        fresh = await get(http, limit="1", **{"continue": status["metadata"]["continue"]})
        assert names(fresh) == ["b"]
        assert fresh["items"][0]["metadata"]["labels"] == {"round": "5"}


async def test_an_exact_version_shows_the_past(store: Store, http: aiohttp.ClientSession) -> None:
    store.apply(service("a"))
    then = str(store.resource_version)
    store.apply(service("b"))
    store.delete("Service", "a")
    exact = await get(http, resourceVersion=then, resourceVersionMatch="Exact")
    assert (names(exact), exact["metadata"]["resourceVersion"]) == (["a"], then)
    assert names(await get(http, resourceVersion=then, limit="5")) == ["a"]
    assert names(await get(http, resourceVersion=then)) == ["b"]
    assert names(await get(http, resourceVersion="0")) == ["b"]


async def test_a_version_of_the_future_is_a_timeout(store: Store, http: aiohttp.ClientSession) -> None:
    status = await get(http, code=504, resourceVersion=str(store.resource_version + 1))
    assert status["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"resourceVersionMatch": "Exact"}, 422),
        ({"resourceVersionMatch": "Exact", "resourceVersion": "0"}, 422),
        ({"resourceVersionMatch": "Maybe", "resourceVersion": "1"}, 422),
        ({"sendInitialEvents": "true"}, 422),
        ({"resourceVersion": "new"}, 400),
        ({"limit": "-1"}, 400),
        ({"continue": "!"}, 400),
        ({"continue": "e30"}, 400),
        ({"labelSelector": "a in"}, 400),
        ({"fieldSelector": "spec.colour=blue"}, 400),
        ({"watch": "perhaps"}, 400),
    ],
)
async def test_options_that_make_no_sense(http: aiohttp.ClientSession, query: dict[str, str], code: int) -> None:
    assert (await get(http, code=code, **query))["kind"] == "Status"


async def test_selectors_and_namespaces(store: Store, http: aiohttp.ClientSession) -> None:
    store.apply(service("a", labels={"tier": "web"}))
    store.apply(service("b", type="NodePort"))
    store.apply(service("a", namespace="shop"))
    assert names(await get(http, labelSelector="tier in (web)")) == ["a"]
    assert names(await get(http, fieldSelector="spec.type=NodePort")) == ["b"]
    assert names(await get(http, "/api/v1/services", fieldSelector="metadata.name=a")) == ["a", "a"]
    assert names(await get(http, "/api/v1/namespaces/shop/services")) == ["a"]
    store.apply(service("c"))
    page = await get(http, labelSelector="!tier", limit="1")
    assert "remainingItemCount" not in page["metadata"]
    rest = await get(http, labelSelector="!tier", **{"continue": page["metadata"]["continue"]})
    assert names(page) + names(rest) == ["b", "c"]


async def test_large_lists_are_compressed_for_those_who_accept_it(store: Store, server: ApiServer) -> None:
    for number in range(600):
        store.apply(service(f"service-{number}"))
    async with aiohttp.ClientSession(server.url, auto_decompress=False) as http:
        async with http.get(SERVICES, headers={"Accept-Encoding": "gzip"}) as response:
            assert response.headers["Content-Encoding"] == "gzip"
            packed = await response.read()
        async with http.get(SERVICES, headers={"Accept-Encoding": "identity"}) as response:
            assert "Content-Encoding" not in response.headers
            plain = await response.read()
        async with http.get(SERVICES + "?limit=2", headers={"Accept-Encoding": "gzip"}) as response:
            assert "Content-Encoding" not in response.headers
    assert gzip.decompress(packed) == plain
    assert len(json.loads(plain)["items"]) == 600
    assert len(packed) < len(plain) / 5
