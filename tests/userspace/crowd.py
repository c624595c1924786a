"""`python -m tests.userspace.crowd`: a process that is an endpoint and thousands of clients, on request.

It prints the port on which it accepts and holds connections, then obeys its standard input, a line at a time:

* `open ADDRESS PORT COUNT SOURCE`: connect from SOURCE, and print `opened` when all are established
* `try ADDRESS PORT COUNT SOURCE`: begin to connect, do not wait for anything, drop them, and print `dropped`
* `drop`: drop all of them at once, every other one by a reset, and print `dropped`
"""

import asyncio
import contextlib
import select
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from tests.userspace.endpoints import RESET

PATIENCE = 60
PROJECT = Path(__file__).parents[2]


class Crowd:
    """Such processes, that do the same at the same time."""

    def __init__(self, members: Sequence[asyncio.subprocess.Process], ports: Sequence[int]) -> None:
        """Those processes.

        Args:
            members: the processes
            ports: where each of them is an endpoint
        """
        self.members, self.ports = members, ports

    async def open(self, address: tuple[str, int], count: int) -> None:
        """Open so many connections in all, and see each of them established."""
        await self._all("open", address, count, "opened")

    async def open_and_drop(self, address: tuple[str, int], count: int) -> None:
        """Begin so many connections in all, and drop them in whatever state they are."""
        await self._all("try", address, count, "dropped")

    async def drop(self) -> None:
        """Drop all that are open, at once."""
        await asyncio.gather(*(_told(member, "drop", "dropped") for member in self.members))

    async def _all(self, verb: str, address: tuple[str, int], count: int, answer: str) -> None:
        each = count // len(self.members)
        words = (f"{verb} {address[0]} {address[1]} {each} 127.0.1.{number + 1}" for number in range(len(self.members)))
        await asyncio.gather(
            *(_told(member, line, answer) for member, line in zip(self.members, words, strict=True)),
        )

    @classmethod
    @asynccontextmanager
    async def of(cls, size: int) -> AsyncIterator[Self]:
        """Start so many processes for the length of a block."""
        async with contextlib.AsyncExitStack() as stack:
            members = [await stack.enter_async_context(_member()) for _ in range(size)]
            yield cls(members, [int(await _line(member)) for member in members])


@asynccontextmanager
async def _member() -> AsyncIterator[asyncio.subprocess.Process]:
    argv = [sys.executable, "-m", "tests.userspace.crowd"]
    member = await asyncio.create_subprocess_exec(*argv, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield member
    finally:
        with contextlib.suppress(ProcessLookupError):
            member.kill()
        await member.wait()


async def _told(member: asyncio.subprocess.Process, line: str, expected: str) -> None:
    assert member.stdin
    member.stdin.write(f"{line}\n".encode())
    answer = await _line(member)
    assert answer == expected, f"{line}: {answer or 'the process has ended'}"


async def _line(member: asyncio.subprocess.Process) -> str:
    assert member.stdout
    async with asyncio.timeout(PATIENCE):
        return (await member.stdout.readline()).decode().strip()


# ------------------------------------------------------------------ within such a process


def main() -> None:
    """Obey until the input ends."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    threading.Thread(target=_hold, args=(listening,), daemon=True).start()
    print(listening.getsockname()[1], flush=True)
    opened: list[socket.socket] = []
    for line in sys.stdin:
        verb, *words = line.split()
        if words:
            address, port, count, source = words
            opened = [_connecting((address, int(port)), source, reset=bool(n % 2)) for n in range(int(count))]
        if verb == "open":
            _await_established(opened)
            print("opened", flush=True)
            continue
        for client in opened:
            client.close()
        opened = []
        print("dropped", flush=True)


def _connecting(address: tuple[str, int], source: str, *, reset: bool) -> socket.socket:
    client = socket.socket()
    client.setblocking(False)
    client.setsockopt(socket.SOL_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)
    client.bind((source, 0))
    if reset:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.connect_ex(address)
    return client


def _await_established(clients: Sequence[socket.socket]) -> None:
    poller = select.poll()
    waiting = {client.fileno(): client for client in clients}
    for number in waiting:
        poller.register(number, select.POLLOUT)
    while waiting:
        for number, _ in poller.poll():
            if error := waiting.pop(number).getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(error, f"connection {len(clients) - len(waiting)} of {len(clients)}")
            poller.unregister(number)


def _hold(listening: socket.socket) -> None:
    """Hold each connection until its other side ends it."""
    held: dict[int, socket.socket] = {}
    poller = select.epoll()
    poller.register(listening.fileno(), select.EPOLLIN)
    while True:
        for number, _ in poller.poll():
            if number == listening.fileno():
                accepted = listening.accept()[0]
                held[accepted.fileno()] = accepted
                poller.register(accepted.fileno(), select.EPOLLIN | select.EPOLLRDHUP)
            else:
                held.pop(number).close()


if __name__ == "__main__":
    main()
