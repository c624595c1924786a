"""The client of the benchmarks, where it must not stand in its own way."""

import asyncio
from pathlib import Path

from kproxy.bench.local import prober
from kproxy.bench.local.prober import Reach


def _lowest_chosen_by_the_kernel() -> int:
    return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])


async def test_what_may_come_before_its_service_takes_no_port_that_a_later_connection_gets() -> None:
    ports: list[int] = []

    async def refuse_twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ports.append(writer.get_extra_info("peername")[1])
        await reader.readuntil(b"\r\n\r\n")
        if len(ports) > 2:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\nit is me")
        writer.close()

    async with await asyncio.start_server(refuse_twice, "127.0.0.1", 0) as server:
        target = server.sockets[0].getsockname()
        assert (await asyncio.to_thread(prober.reach, Reach([target], 10.0))).at is not None
    assert len(set(ports)) == 3
    assert max(ports) < min(_lowest_chosen_by_the_kernel(), 30_000)


async def test_a_service_that_still_answers_is_not_gone() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nit is me")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        target = server.sockets[0].getsockname()
        assert (await asyncio.to_thread(prober.leave, Reach([target], 0.1))).at is None
    assert (await asyncio.to_thread(prober.leave, Reach([target], 10.0))).at is not None
