"""The watch protocol over HTTP, event by event."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from kproxy.apiserver import ApiServer, Store
from kproxy.apiserver.resources import SERVICES as SERVICES_RESOURCE
from tests.apiserver.builders import SERVICES, endpoint_slice, service


class Events:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def next(self) -> Any:
        async with asyncio.timeout(10):
            line = await self._response.content.readline()
        return json.loads(line) if line else None

    async def seen(self) -> tuple[str, str]:
        event = await self.next()
        return event["type"], event["object"]["metadata"].get("name", "")


@asynccontextmanager
async def watching(http: aiohttp.ClientSession, path: str = SERVICES, **query: str) -> AsyncIterator[Events]:
    async with http.get(path, params={"watch": "true", **query}) as response:
        assert response.status == 200, await response.text()
        yield Events(response)


async def test_a_watch_goes_on_from_its_version(store: Store, http: aiohttp.ClientSession) -> None:
    store.apply(service("a"))
    version = str(store.resource_version)
    store.apply(service("b"))
    async with watching(http, resourceVersion=version) as events:
        assert await events.seen() == ("ADDED", "b")
        store.apply(service("b", labels={"a": "b"}))
        modified = await events.next()
        assert modified["type"] == "MODIFIED"
        assert (modified["object"]["kind"], modified["object"]["apiVersion"]) == ("Service", "v1")
        store.delete("Service", "b")
        deleted = await events.next()
        assert deleted["type"] == "DELETED"
        assert deleted["object"]["metadata"]["resourceVersion"] == str(store.resource_version)
        assert deleted["object"]["metadata"]["labels"] == {"a": "b"}


@pytest.mark.parametrize("query", [{}, {"resourceVersion": "0"}])
async def test_without_a_version_a_watch_begins_with_what_there_is(
    store: Store, http: aiohttp.ClientSession, query: dict[str, str]
) -> None:
    store.apply(service("b"))
    store.apply(service("a"))
    async with watching(http, **query) as events:
        assert [await events.seen(), await events.seen()] == [("ADDED", "a"), ("ADDED", "b")]
        store.apply(service("c"))
        assert await events.seen() == ("ADDED", "c")


async def test_watch_list_streaming_ends_its_first_part_with_a_bookmark(
    store: Store, http: aiohttp.ClientSession
) -> None:
    store.apply(service("a"))
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    async with watching(http, **query) as events:
        assert await events.seen() == ("ADDED", "a")
        bookmark = await events.next()
        assert bookmark["type"] == "BOOKMARK"
        assert bookmark["object"]["kind"] == "Service"
        assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert bookmark["object"]["metadata"]["resourceVersion"] == str(store.resource_version)
        store.apply(service("b"))
        assert await events.seen() == ("ADDED", "b")


async def test_send_initial_events_false_begins_with_what_comes(store: Store, http: aiohttp.ClientSession) -> None:
    store.apply(service("a"))
    async with watching(http, sendInitialEvents="false", resourceVersionMatch="NotOlderThan") as events:
        store.apply(service("b"))
        assert await events.seen() == ("ADDED", "b")


async def test_bookmarks_move_a_quiet_watch_on(store: Store) -> None:
    async with ApiServer(store, bookmark_seconds=0.05) as server, aiohttp.ClientSession(server.url) as http:
        version = str(store.resource_version)
        async with watching(http, resourceVersion=version, allowWatchBookmarks="true") as events:
            store.apply(endpoint_slice())  # of another resource: no event, but the counter moves
            bookmark = await events.next()
            while bookmark["object"]["metadata"]["resourceVersion"] == version:
                bookmark = await events.next()
            assert bookmark["type"] == "BOOKMARK"
            assert bookmark["object"]["metadata"]["resourceVersion"] == str(store.resource_version)
        async with watching(http, resourceVersion=version, timeoutSeconds="1") as events:
            assert await events.next() is None


async def test_bookmarks_keep_a_quiet_watch_from_expiring() -> None:
    store = Store(history=2)
    async with ApiServer(store, bookmark_seconds=0.05) as server, aiohttp.ClientSession(server.url) as http:
        async with watching(http, labelSelector="none=such", allowWatchBookmarks="true") as events:
            for round_ in range(4):
                store.apply(service("busy", labels={"round": str(round_)}))
                version = str(store.resource_version)
                while (await events.next())["object"]["metadata"]["resourceVersion"] != version:
                    pass
        async with watching(http, labelSelector="none=such", resourceVersion=version):
            pass


async def test_objects_that_enter_and_leave_the_selector(store: Store, http: aiohttp.ClientSession) -> None:
    store.apply(service("a", labels={"tier": "web"}))
    async with watching(http, labelSelector="tier=web", resourceVersion=str(store.resource_version)) as events:
        store.apply(service("b"))
        store.apply(service("b", labels={"tier": "web"}))
        assert await events.seen() == ("ADDED", "b")
        store.apply(service("b", labels={"tier": "db"}))
        left = await events.next()
        assert left["type"] == "DELETED"
        assert left["object"]["metadata"]["labels"] == {"tier": "web"}
        assert left["object"]["metadata"]["resourceVersion"] == str(store.resource_version)
        store.delete("Service", "b")
        store.apply(service("a", labels={"tier": "web", "more": "yes"}))
        assert await events.seen() == ("MODIFIED", "a")


async def test_a_watch_of_one_object_and_of_one_namespace(store: Store, http: aiohttp.ClientSession) -> None:
    version = str(store.resource_version)
    for name, namespace in (("a", "shop"), ("a", "default"), ("b", "default")):
        store.apply(service(name, namespace=namespace))
    async with watching(http, resourceVersion=version, fieldSelector="metadata.name=b") as events:
        assert await events.seen() == ("ADDED", "b")
    async with watching(http, "/api/v1/services", resourceVersion=version) as events:
        assert [(await events.next())["object"]["metadata"]["namespace"] for _ in range(3)] == [
            "shop",
            "default",
            "default",
        ]


async def test_a_version_that_history_has_left_behind_is_gone() -> None:
    store = Store(history=3)
    async with ApiServer(store) as server, aiohttp.ClientSession(server.url) as http:
        old = str(store.resource_version)
        for round_ in range(5):
            store.apply(service("a", labels={"round": str(round_)}))
        for version in (old, str(store.resource_version + 100)):
            async with http.get(SERVICES, params={"watch": "true", "resourceVersion": version}) as response:
                assert response.status == 410
                status = await response.json()
        assert (status["kind"], status["reason"]) == ("Status", "Expired")
        async with watching(http, resourceVersion=str(store.resource_version - 3)) as events:
            assert await events.seen() == ("MODIFIED", "a")


async def test_a_watch_that_history_overtakes_ends_with_an_error_event() -> None:
    store = Store(history=3)
    version = str(store.resource_version)
    async with (
        ApiServer(store) as server,
        aiohttp.ClientSession(server.url) as http,
        watching(http, resourceVersion=version) as events,
    ):
        for round_ in range(5):  # in one go: the watch's task has no turn in between
            store.apply(service("a", labels={"round": str(round_)}))
        error = await events.next()
        assert error["type"] == "ERROR"
        assert (error["object"]["code"], error["object"]["reason"]) == (410, "Expired")
        assert await events.next() is None


@pytest.mark.parametrize(
    "query",
    [
        {"resourceVersionMatch": "NotOlderThan"},
        {"sendInitialEvents": "true"},
        {"sendInitialEvents": "true", "resourceVersionMatch": "Exact"},
    ],
)
async def test_watch_options_that_exclude_each_other(http: aiohttp.ClientSession, query: dict[str, str]) -> None:
    async with http.get(SERVICES, params={"watch": "true", **query}) as response:
        assert response.status == 422


async def test_a_stop_ends_watches_at_once_and_a_restart_goes_on(store: Store) -> None:
    server = ApiServer(store)
    await server.start()
    async with aiohttp.ClientSession(server.url) as http:
        async with watching(http) as events:
            started = asyncio.get_running_loop().time()
            await server.stop()
            assert await events.next() is None
            assert asyncio.get_running_loop().time() - started < 1.5
        version = str(store.resource_version)
        store.apply(service("a"))
        await server.start()
        async with watching(http, resourceVersion=version) as events:
            assert await events.seen() == ("ADDED", "a")
        await server.stop()


async def test_a_client_that_leaves_is_forgotten(store: Store, server: ApiServer) -> None:
    forgotten = asyncio.Event()
    collection = store.collection(SERVICES_RESOURCE)
    subscribe = collection.subscribe

    def recording(wake: Callable[[], None]) -> Callable[[], None]:
        end = subscribe(wake)

        def end_and_tell() -> None:
            end()
            forgotten.set()

        return end_and_tell

    collection.subscribe = recording  # type: ignore[method-assign]
    async with aiohttp.ClientSession(server.url) as http, watching(http) as events:
        store.apply(service("a"))
        await events.seen()
        assert not forgotten.is_set()
    async with asyncio.timeout(5):
        await forgotten.wait()


async def test_many_watchers_all_see_every_change(store: Store, server: ApiServer) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(server.url, connector=connector) as http:

        async def follow(version: str) -> list[tuple[str, str]]:
            async with watching(http, resourceVersion=version) as events:
                return [await events.seen() for _ in range(20)]

        version = str(store.resource_version)
        tasks = [asyncio.create_task(follow(version)) for _ in range(100)]
        for number in range(20):
            store.apply(service(f"s{number:02}"))
            await asyncio.sleep(0)
        expected = [("ADDED", f"s{number:02}") for number in range(20)]
        assert await asyncio.gather(*tasks) == [expected] * 100
