"""Profiling over HTTP: what comes out is what `go tool pprof` and flame graph tools read."""

import asyncio
import gzip
import signal
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from kproxy.config import parse_command_line
from kproxy.node.http import metrics_app
from kproxy.node.metrics import Metrics
from kproxy.node.profiling import install_profiling
from kproxy.node.profiling.pprof import Frame, ValueType, collapsed, encode


def fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message: varints, and what has a length."""
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value

    while position < len(message):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            assert key & 7 == 2
            length = varint()
            yield key >> 3, message[position : position + length]
            position += length


class Profile:
    """A decoded profile."""

    def __init__(self, body: bytes) -> None:
        found: dict[int, list[Any]] = {}
        for number, value in fields(gzip.decompress(body)):
            found.setdefault(number, []).append(value)
        self.strings = [text.decode() for text in found[6]]
        functions = {one[1]: self.strings[one[2]] for one in (dict(fields(body)) for body in found.get(5, []))}
        lines = {one[1]: dict(fields(one[4])) for one in (dict(fields(body)) for body in found.get(4, []))}
        self.functions = {number: functions[line[1]] for number, line in lines.items()}
        self.types = [tuple(self.strings[number] for _, number in fields(body)) for body in found[1]]
        self.samples = [
            ([self.functions[number] for number in self.packed(one[1])], self.packed(one[2]))
            for one in (dict(fields(body)) for body in found.get(2, []))
        ]
        self.time, self.duration, self.period = found[9][0], found[10][0], found[12][0]

    @staticmethod
    def packed(body: bytes) -> list[int]:
        values, value, shift = [], 0, 0
        for byte in body:
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                values.append(value)
                value = shift = 0
        return values


INNER, OUTER = Frame("inner", "/a.py", 3), Frame("outer", "/a.py", 300)


def test_a_profile_is_decoded_as_it_was() -> None:
    body = encode(
        (ValueType("samples", "count"), ValueType("cpu", "nanoseconds")),
        {(INNER, OUTER): (3, 30_000_000), (OUTER,): (1, 10_000_000)},
        period_type=ValueType("cpu", "nanoseconds"),
        period=10_000_000,
        time_ns=1_763_816_759_000_000_000,
        duration_ns=5_000_000_000,
    )
    profile = Profile(body)
    assert profile.strings[0] == ""
    assert profile.types == [("samples", "count"), ("cpu", "nanoseconds")]
    assert profile.samples == [(["inner", "outer"], [3, 30_000_000]), (["outer"], [1, 10_000_000])]
    assert (profile.time, profile.duration, profile.period) == (1_763_816_759_000_000_000, 5_000_000_000, 10_000_000)


def test_stacks_for_flame_graphs() -> None:
    assert collapsed({(INNER, OUTER): (3, 30), (OUTER,): (1, 10)}) == (
        "outer (/a.py:300) 1\nouter (/a.py:300);inner (/a.py:3) 3\n"
    )


levels: list[int] = []


@pytest.fixture
async def client() -> AsyncIterator[TestClient[Any, Any]]:
    levels.clear()
    configuration = parse_command_line(["--profiling"]).configuration
    app = metrics_app(Metrics(), lambda: configuration, install_profiling(levels.append))
    async with TestClient(TestServer(app)) as made:
        yield made


def work_hard(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(1000))


async def test_the_processors_time(client: TestClient[Any, Any]) -> None:
    answering = asyncio.create_task(client.get("/debug/pprof/profile?seconds=0.5"))
    async with asyncio.timeout(5):
        while signal.getsignal(signal.SIGPROF) is signal.SIG_DFL:  # noqa: ASYNC110 - nobody tells that it began
            await asyncio.sleep(0.001)
    assert (await client.get("/debug/pprof/profile")).status == 500
    work_hard(0.3)
    answer = await answering
    assert answer.status == 200
    profile = Profile(await answer.read())
    seen = sum(values[0] for stack, values in profile.samples if "work_hard" in stack)
    assert seen >= 10, profile.samples
    assert profile.duration >= 500_000_000
    assert signal.getsignal(signal.SIGPROF) is signal.SIG_DFL


async def test_stacks_as_text(client: TestClient[Any, Any]) -> None:
    answering = asyncio.create_task(client.get("/debug/pprof/profile?seconds=0.3&debug=1"))
    await asyncio.sleep(0.05)
    work_hard(0.2)
    assert "work_hard" in await (await answering).text()


async def test_the_heap(client: TestClient[Any, Any]) -> None:
    kept: list[bytes] = []
    answering = asyncio.create_task(client.get("/debug/pprof/heap?seconds=0.2"))
    async with asyncio.timeout(5):
        while not tracemalloc.is_tracing():  # noqa: ASYNC110 - nobody tells that it began
            await asyncio.sleep(0.001)
    assert (await client.get("/debug/pprof/heap")).status == 500
    kept.append(b"x" * 1_000_000)
    kept.append(bytes(1_500_000))
    profile = Profile(await (await answering).read())
    assert profile.types == [("inuse_objects", "count"), ("inuse_space", "bytes")]
    assert max(values[1] for _, values in profile.samples) >= 1_500_000
    assert not tracemalloc.is_tracing()
    text = await (await client.get("/debug/pprof/heap?seconds=0.01&debug=1")).text()
    assert "VmRSS" in text
    assert "generation 2" in text


async def test_what_everything_waits_for(client: TestClient[Any, Any]) -> None:
    async def idle_here() -> None:
        await asyncio.sleep(60)

    task = asyncio.create_task(idle_here(), name="an idle task")
    await asyncio.sleep(0)
    text = await (await client.get("/debug/pprof/goroutine?debug=2")).text()
    task.cancel()
    assert "task an idle task:" in text
    assert "idle_here" in text
    assert "thread MainThread:" in text


async def test_the_index_names_what_there_is(client: TestClient[Any, Any]) -> None:
    page = await (await client.get("/debug/pprof/")).text()
    for name in ("cmdline", "goroutine", "heap", "profile"):
        assert f'href="/debug/pprof/{name}"' in page
    assert (await client.get("/debug/pprof/cmdline")).status == 200
    assert (await client.get("/debug/flags")).status == 200


async def test_the_verbosity(client: TestClient[Any, Any]) -> None:
    answer = await client.put("/debug/flags/v", data=b"4")
    assert (answer.status, await answer.text()) == (200, "successfully set klog.logging.verbosity to 4\n")
    assert levels == [4]
    for wrong in (b"", b"-1", b"loud", b"9" * 100, b"99999999999", b"\xff"):
        answer = await client.put("/debug/flags/v", data=wrong)
        assert answer.status == 400
        assert (await answer.text()).startswith("failed set klog.logging.verbosity")
    answer = await client.get("/debug/flags/v")
    assert (answer.status, await answer.text()) == (406, "unsupported http method\n")
    assert levels == [4]


@pytest.mark.parametrize("seconds", ["-1", "0", "nan", "x"])
async def test_a_length_that_is_none_is_the_usual_one(client: TestClient[Any, Any], seconds: str) -> None:
    answering = asyncio.create_task(client.get(f"/debug/pprof/heap?seconds={seconds}"))
    await asyncio.sleep(0.1)
    assert not answering.done()
    answering.cancel()
