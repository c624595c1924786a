"""How a reflector comes by its first state, and by a new one."""

import asyncio
import logging

import pytest

from kproxy.sources.reflector import ReflectorSettings

from .api_objects import bookmark, event, items, service, status
from .conftest import Following
from .scripted_server import Exchange, refuse, reply, stream

SELECTOR = "!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name"
NO_STREAMED_LISTS = refuse(422, "Invalid", "sendInitialEvents: Forbidden")


async def test_streamed_list_goes_over_into_the_watch(following: Following) -> None:
    await following.start(
        stream(
            event("ADDED", service("a", 5)),
            event("ADDED", service("b", 3)),
            bookmark(9, initial_end=True),
            event("MODIFIED", service("a", 10)),
            event("DELETED", service("b", 11)),
        )
    )
    await following.sink.until(lambda: "-b" in following.sink.log)
    assert following.sink.log == ["+a@5", "+b@3", "=Service", "+a@10", "-b"]
    assert following.queries == [
        {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "sendInitialEvents": "true",
            "resourceVersionMatch": "NotOlderThan",
            "timeoutSeconds": "450",
            "labelSelector": SELECTOR,
        }
    ]


async def test_server_that_refuses_streamed_lists_is_listed_by_pages(following: Following) -> None:
    await following.start(
        NO_STREAMED_LISTS,
        reply(200, items(service("a", 1), service("b", 2), version=7, token="page 2/x+y=")),
        reply(200, items(service("c", 3), version=7)),
        stream(event("ADDED", service("d", 8))),
    )
    await following.sink.until(lambda: "+d@8" in following.sink.log)
    assert following.sink.log == ["+a@1", "+b@2", "+c@3", "=Service", "+d@8"]
    _, first, second, watch = following.queries
    assert first == {"limit": "500", "resourceVersion": "0", "labelSelector": SELECTOR}
    assert second == {"limit": "500", "continue": "page 2/x+y=", "labelSelector": SELECTOR}
    assert watch["resourceVersion"] == "7"
    assert "sendInitialEvents" not in watch
    assert following.clock.sleeps == []


async def test_refusal_is_remembered_for_the_next_relist(following: Following) -> None:
    await following.start(
        NO_STREAMED_LISTS,
        reply(200, items(service("a", 1), version=7)),
        refuse(410, "Expired"),
        reply(200, items(service("a", 1), version=9)),
    )
    await following.server.seen(5)
    assert [("watch" in query, query.get("resourceVersion")) for query in following.queries[1:]] == [
        (False, "0"),
        (True, "7"),
        (False, "7"),
        (True, "9"),
    ]
    assert "limit" not in following.queries[3]


async def test_expired_page_token_restarts_as_one_list(following: Following) -> None:
    await following.start(
        NO_STREAMED_LISTS,
        reply(200, items(service("a", 1), service("gone", 2), version=7, token="x")),
        refuse(410, "Expired", "The provided continue parameter is too old"),
        reply(200, items(service("a", 1), service("b", 3), version=30)),
    )
    await following.server.seen(5)
    assert following.sink.log == ["+a@1", "+gone@2", "+b@3", "-gone", "=Service"]
    assert following.queries[3] == {"resourceVersion": "0", "labelSelector": SELECTOR}
    assert following.queries[4]["resourceVersion"] == "30"


async def test_page_that_breaks_off_is_listed_again_without_repetition(following: Following) -> None:
    whole = items(service("a", 1), service("b", 2), version=7)
    await following.start(
        NO_STREAMED_LISTS,
        stream(b'{"kind":"ServiceList","metadata":{"resourceVersion":"7"},"items":[', then="reset"),
        reply(200, whole),
    )
    await following.sink.until(lambda: "=Service" in following.sink.log)
    assert following.sink.log == ["+a@1", "+b@2", "=Service"]
    assert len(following.clock.sleeps) == 1


async def test_server_that_ignores_the_parameter_is_noticed_and_listed(following: Following) -> None:
    """It sends the present objects, then only changes, however many; its list never ends."""

    async def changing(exchange: Exchange) -> None:
        await exchange.send(event("ADDED", service("a", 1)), event("MODIFIED", service("a", 4)))
        while not exchange.reader.at_eof():
            await exchange.send(bookmark(4))
            await asyncio.sleep(0.02)

    await following.start(
        changing,
        reply(200, items(service("a", 4), service("b", 2), version=4)),
        settings=ReflectorSettings(initial_idle=0.2),
    )
    await following.sink.until(lambda: "=Service" in following.sink.log)
    assert following.sink.log == ["+a@1", "+a@4", "+b@2", "=Service"]
    assert following.queries[1]["resourceVersion"] == "0"


async def test_streamed_list_that_breaks_is_no_place_to_resume_from(following: Following) -> None:
    await following.start(
        stream(event("ADDED", service("b", 9)), then="reset"),
        stream(event("ADDED", service("a", 1)), event("ADDED", service("b", 9)), bookmark(9, initial_end=True)),
    )
    await following.sink.until(lambda: "=Service" in following.sink.log)
    assert following.sink.log == ["+b@9", "+a@1", "=Service"]
    assert "resourceVersion" not in following.queries[1]


async def test_token_that_expires_in_a_list_without_limit_is_survived(following: Following) -> None:
    """A server may page although it was not asked to."""
    page, gone = reply(200, items(service("a", 1), version=7, token="x")), refuse(410, "Expired")
    whole = reply(200, items(service("a", 1), service("b", 2), version=9))
    await following.start(NO_STREAMED_LISTS, page, gone, page, gone, whole)
    await following.sink.until(lambda: "=Service" in following.sink.log)
    assert following.sink.log == ["+a@1", "+b@2", "=Service"]


async def test_streamed_list_that_ends_early_is_listed_by_pages(following: Following) -> None:
    await following.start(
        stream(event("ADDED", service("a", 1)), then="end"),
        reply(200, items(service("a", 1), version=4)),
    )
    await following.sink.until(lambda: "=Service" in following.sink.log)
    assert following.sink.log == ["+a@1", "=Service"]


async def test_streamed_relist_deletes_what_it_does_not_hold(following: Following) -> None:
    await following.start(
        stream(
            event("ADDED", service("kept", 1)),
            event("ADDED", service("gone", 2)),
            event("ADDED", service("changed", 3)),
            bookmark(5, initial_end=True),
            event("ERROR", status(410, "Expired", "too old resource version")),
        ),
        stream(
            event("ADDED", service("kept", 1)), event("ADDED", service("changed", 8)), bookmark(9, initial_end=True)
        ),
    )
    await following.sink.until(lambda: "-gone" in following.sink.log)
    assert following.sink.log == ["+kept@1", "+gone@2", "+changed@3", "=Service", "+changed@8", "-gone"]
    assert following.queries[1]["resourceVersion"] == "5"
    assert following.queries[1]["sendInitialEvents"] == "true"
    assert following.reflector is not None
    assert following.reflector.stats.relists == 1


@pytest.mark.parametrize(
    "refusal",
    [
        refuse(410, "Expired"),
        reply(504, status(504, "Timeout", "Too large resource version: 5, current: 2")),
        reply(504, status(504, "Timeout") | {"details": {"causes": [{"reason": "ResourceVersionTooLarge"}]}}),
    ],
)
async def test_version_that_is_not_to_be_had_is_given_up(following: Following, refusal: object) -> None:
    assert callable(refusal)
    await following.start(
        stream(event("ADDED", service("a", 1)), bookmark(5, initial_end=True), then="reset"),
        refuse(410, "Expired"),
        refusal,
        stream(event("ADDED", service("a", 1)), event("ADDED", service("b", 2)), bookmark(3, initial_end=True)),
    )
    await following.sink.until(lambda: "+b@2" in following.sink.log)
    await following.server.seen(4)
    assert [query.get("resourceVersion") for query in following.queries] == [None, "5", "5", None]


async def test_list_of_410s_backs_off(following: Following) -> None:
    """A server that lists but refuses every watch is not asked in a tight loop."""
    rounds = 6
    steps = [reply(200, items(service("a", 1), version=7)), refuse(410, "Expired")] * rounds
    await following.start(NO_STREAMED_LISTS, *steps)
    await following.server.seen(1 + 2 * rounds)
    assert len(following.clock.sleeps) >= rounds - 2
    assert following.clock.sleeps == sorted(following.clock.sleeps)


async def test_list_without_a_version_is_refused(following: Following, caplog: pytest.LogCaptureFixture) -> None:
    await following.start(NO_STREAMED_LISTS, reply(200, {"items": []}), reply(200, items(version=3)))
    with caplog.at_level(logging.WARNING):
        await following.sink.until(lambda: "=Service" in following.sink.log)
    assert "a list without a resourceVersion" in caplog.text
