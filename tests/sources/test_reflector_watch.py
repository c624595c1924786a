"""What a reflector makes of watches that end, break, lie or fall silent."""

import gzip
import json
import logging
from pathlib import Path

import pytest

from kproxy.sources.credentials import StoredCredentials
from kproxy.sources.reflector import ReflectorSettings
from kproxy.sources.secret_content import FileContent

from .api_objects import bookmark, event, items, service, status
from .conftest import Following
from .scripted_server import Exchange, never, refuse, reply, stream

FIRST = (event("ADDED", service("a", 1)), bookmark(5, initial_end=True))


async def test_resumes_after_the_last_version_when_the_server_ends_the_watch(following: Following) -> None:
    await following.start(
        stream(*FIRST, event("MODIFIED", service("a", 6)), then="end"),
        stream(bookmark(20), then="end"),
        stream(event("ADDED", service("b", 21))),
    )
    await following.sink.until(lambda: "+b@21" in following.sink.log)
    assert [query.get("resourceVersion") for query in following.queries] == [None, "6", "20"]
    assert following.sink.log == ["+a@1", "=Service", "+a@6", "+b@21"]


async def test_connection_reset(following: Following) -> None:
    await following.start(
        stream(*FIRST, event("ADDED", service("b", 6)), then="reset"),
        stream(event("DELETED", service("b", 7)), event("ADDED", service("c", 8))),
    )
    await following.sink.until(lambda: "+c@8" in following.sink.log)
    assert following.sink.log == ["+a@1", "=Service", "+b@6", "-b", "+c@8"]
    assert following.queries[1]["resourceVersion"] == "6"


@pytest.mark.parametrize("then", ["end", "reset"])
async def test_half_a_line_at_the_end_is_no_event(following: Following, then: str) -> None:
    whole = event("ADDED", service("b", 6))
    await following.start(stream(*FIRST, whole[: len(whole) // 2], then=then), stream(whole))
    await following.sink.until(lambda: "+b@6" in following.sink.log)
    assert following.queries[1]["resourceVersion"] == "5"
    assert following.sink.log.count("+b@6") == 1


async def test_complete_line_without_its_newline_is_no_event_either(following: Following) -> None:
    """It cannot be told from one that happens to be cut at a brace."""
    whole = event("ADDED", service("b", 6))
    await following.start(stream(*FIRST, whole[:-1], then="end"), stream(whole))
    await following.sink.until(lambda: "+b@6" in following.sink.log)
    assert following.sink.log.count("+b@6") == 1


async def test_events_already_seen_are_not_delivered_again(following: Following) -> None:
    await following.start(stream(*FIRST, event("ADDED", service("a", 1)), event("ADDED", service("b", 6))))
    await following.sink.until(lambda: "+b@6" in following.sink.log)
    assert following.sink.log == ["+a@1", "=Service", "+b@6"]


@pytest.mark.parametrize("as_event", [True, False])
async def test_gone_lists_anew_and_tells_only_the_difference(following: Following, *, as_event: bool) -> None:
    gone = stream(event("ERROR", status(410, "Expired"))) if as_event else refuse(410, "Gone")
    await following.start(
        stream(*FIRST, event("ADDED", service("b", 6)), event("ADDED", service("c", 7)), then="end"),
        gone,
        stream(event("ADDED", service("a", 1)), event("ADDED", service("c", 9)), bookmark(12, initial_end=True)),
    )
    await following.sink.until(lambda: "-b" in following.sink.log)
    assert following.sink.log == ["+a@1", "=Service", "+b@6", "+c@7", "+c@9", "-b"]
    assert following.queries[2]["resourceVersion"] == "7"


async def test_other_error_events_resume(following: Following) -> None:
    await following.start(
        stream(*FIRST, event("ERROR", status(500, "InternalError"))), stream(event("ADDED", service("b", 6)))
    )
    await following.sink.until(lambda: "+b@6" in following.sink.log)
    assert following.queries[1]["resourceVersion"] == "5"
    assert "sendInitialEvents" not in following.queries[1]


@pytest.mark.parametrize(
    "garbage",
    [
        b"<html>\n",
        b'{"type":"ADDED"}\n',
        b'{"type":"SHOUT","object":{}}\n',
        b"\xff\xfe\n",
        b"[" * 50_000 + b"\n",
        b"7\n",
    ],
)
async def test_garbage_resumes_first_and_lists_if_it_comes_again(following: Following, garbage: bytes) -> None:
    await following.start(
        stream(*FIRST, garbage, event("ADDED", service("never", 7))),
        stream(garbage),
        stream(event("ADDED", service("a", 1)), event("ADDED", service("b", 6)), bookmark(8, initial_end=True)),
    )
    await following.sink.until(lambda: "+b@6" in following.sink.log)
    assert following.sink.log == ["+a@1", "=Service", "+b@6"]
    assert ["sendInitialEvents" in query for query in following.queries] == [True, False, True]


async def test_empty_lines_are_nothing(following: Following) -> None:
    await following.start(stream(b"\n", *FIRST, b"\n\r\n", event("ADDED", service("b", 6))))
    await following.sink.until(lambda: "+b@6" in following.sink.log)
    assert following.clock.sleeps == []


async def test_server_that_never_answers(following: Following) -> None:
    await following.start(never, stream(*FIRST), response_timeout=0.2)
    await following.sink.until(lambda: "=Service" in following.sink.log)
    assert len(following.clock.sleeps) == 1


async def test_server_that_stalls_within_a_list(following: Following) -> None:
    await following.start(
        refuse(422, "Invalid"),
        stream(b'{"metadata":{"resourceVersion":"1"},"items":[{"metadata":'),
        reply(200, items(service("a", 1), version=5)),
        settings=ReflectorSettings(idle=0.2),
    )
    await following.sink.until(lambda: "=Service" in following.sink.log)
    assert following.sink.log == ["+a@1", "=Service"]


async def test_silent_watch_is_replaced_from_the_same_version(following: Following) -> None:
    await following.start(stream(*FIRST), stream(event("ADDED", service("b", 6))), settings=ReflectorSettings(idle=0.2))
    await following.sink.until(lambda: "+b@6" in following.sink.log)
    assert following.queries[1]["resourceVersion"] == "5"
    assert following.clock.sleeps == []


async def test_retry_after_is_honoured(following: Following) -> None:
    await following.start(
        refuse(429, "TooManyRequests", headers={"Retry-After": "17"}),
        refuse(503, "ServiceUnavailable", headers={"Retry-After": "86400"}),
        reply(429, status(429, "TooManyRequests") | {"details": {"retryAfterSeconds": 40}}),
        stream(*FIRST),
    )
    await following.sink.until(lambda: "=Service" in following.sink.log)
    assert following.clock.sleeps == [17, 300, 40]


async def test_forbidden_names_what_to_grant_and_is_said_once(
    following: Following, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = refuse(403, "Forbidden", 'services is forbidden: User "system:node" cannot list')
    with caplog.at_level(logging.INFO):
        await following.start(refusal, refusal, refusal, stream(*FIRST))
        await following.sink.until(lambda: "=Service" in following.sink.log)
    said = [record.message for record in caplog.records if "RBAC" in record.message]
    assert len(said) == 1
    assert "not allowed to list and watch services" in said[0]
    assert 'User "system:node" cannot list' in said[0]
    assert "services: the API server answers again" in caplog.text


async def test_bad_object_stays_alone(following: Following, caplog: pytest.LogCaptureFixture) -> None:
    bad = service("bad", 6)
    bad["spec"]["ports"][0]["port"] = "eighty"
    with caplog.at_level(logging.ERROR):
        await following.start(
            stream(
                *FIRST,
                event("ADDED", service("bad", 4)),
                event("MODIFIED", bad),
                event("MODIFIED", bad | {"metadata": bad["metadata"] | {"resourceVersion": "7"}}),
                event("ADDED", {"metadata": {"resourceVersion": "8"}}),
                event("ADDED", {"metadata": 9}),
                event("ADDED", service("b", 9)),
                event("MODIFIED", service("bad", 10)),
                then="end",
            )
        )
        await following.server.seen(2)
    assert following.sink.log == ["+a@1", "=Service", "+bad@4", "-bad", "+b@9", "+bad@10"]
    logged = [record.message for record in caplog.records]
    assert len(logged) == 2
    assert "Service shop/bad is left out: Expected `int`, got `str` - at `$.spec.ports[0].port`" in logged[0]
    assert following.queries[1]["resourceVersion"] == "10"


async def test_bad_object_in_a_list_stays_alone(following: Following) -> None:
    await following.start(
        refuse(422, "Invalid"),
        reply(200, items(service("a", 1), {"metadata": {"name": "bad"}, "spec": []}, service("b", 2), version=5)),
    )
    await following.sink.until(lambda: "=Service" in following.sink.log)
    assert following.sink.names == {"a", "b"}
    assert following.reflector is not None
    assert following.reflector.bad_objects == 1


async def test_rotated_token_is_used_at_once(following: Following, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")

    async def rotate(exchange: Exchange) -> None:
        token.write_text("new\n")
        await exchange.json(401, status(401, "Unauthorized"))

    await following.start(rotate, stream(*FIRST), credentials=StoredCredentials(bearer=FileContent(token)))
    await following.sink.until(lambda: "=Service" in following.sink.log)
    assert [r.headers["authorization"] for r in following.server.requests] == ["Bearer old", "Bearer new"]
    assert following.clock.sleeps == []


async def test_refused_credential_that_does_not_change_backs_off(following: Following, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("only")
    await following.start(
        refuse(401, "Unauthorized"), stream(*FIRST), credentials=StoredCredentials(bearer=FileContent(token))
    )
    await following.sink.until(lambda: "=Service" in following.sink.log)
    assert len(following.clock.sleeps) == 1
    assert len(following.server.requests) == 2


async def test_backoff_doubles_and_stays_below_its_ceiling(following: Following) -> None:
    following.clock = type(following.clock)(chance=0.0)
    await following.start(*[refuse(500, "InternalError")] * 8, stream(*FIRST))
    await following.sink.until(lambda: "=Service" in following.sink.log)
    assert following.clock.sleeps == pytest.approx([0.8, 1.6, 3.2, 6.4, 12.8, 15, 15, 15])


async def test_compressed_list(following: Following) -> None:
    body = json.dumps(items(*(service(f"s{i}", i + 1) for i in range(2000)), version=3000)).encode()

    async def compressed(exchange: Exchange) -> None:
        assert exchange.request.headers["accept-encoding"] == "gzip"
        await exchange.answer(200, gzip.compress(body), {"Content-Encoding": "gzip"})

    await following.start(refuse(422, "Invalid"), compressed)
    await following.sink.until(lambda: "=Service" in following.sink.log)
    assert len(following.sink.objects) == 2000
