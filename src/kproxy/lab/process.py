"""Processes in a namespace, which do not outlive whoever started them."""

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from kproxy.lab.namespaces import Namespace

TAIL = 16_384


class Process:
    """A running program, its output kept in an unnamed file."""

    def __init__(self, namespace: Namespace | None, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Start it; `start` is the way to have it ended as well.

        The kernel kills the program when the thread that started it ends (PR_SET_PDEATHSIG, prctl(2)), which
        is the namespace's own thread: when the namespace is closed, or the lab is killed.

        Args:
            namespace: where it runs; None: where the calling thread is, whose end is then its own.
            argv: the program and its arguments.
            env: variables added to the environment of the lab.

        Raises:
            OSError: setpriv(1) is missing. If the program itself is, the process ends with status 127.
        """
        self.argv = list(argv)
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        guarded = ["setpriv", "--pdeathsig", "KILL", "--", *argv]

        def begin() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                guarded,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
            )

        try:
            self._popen = namespace.run(begin) if namespace else begin()
        except OSError:
            self._output.close()
            raise

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, minus the signal's number if it was killed, or None while it runs."""
        return self._popen.poll()

    def output(self) -> str:
        """The last few kilobytes of what it wrote to standard output and standard error."""
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), TAIL, max(0, size - TAIL)).decode(errors="replace")

    def send_signal(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    async def wait(self) -> int:
        """Wait for its end, and return the exit status."""
        if self._popen.poll() is None:
            pidfd = os.pidfd_open(self._popen.pid)
            try:
                await _readable(pidfd)
            finally:
                os.close(pidfd)
        return self._popen.wait()

    async def stop(self, grace: float = 5.0) -> int:
        """Ask it to end with SIGTERM; after `grace` seconds, kill it. Returns the exit status."""
        self.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace):
                return await self.wait()
        except TimeoutError:
            self._popen.kill()
            return await self.wait()

    def close(self) -> None:
        """Kill it if it still runs, and forget its output."""
        self._popen.kill()
        self._popen.wait()
        self._output.close()


@asynccontextmanager
async def start(
    namespace: Namespace, argv: Sequence[str], env: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """Run a program for the length of a block; arguments as for `Process`."""
    process = Process(namespace, argv, env)
    try:
        yield process
        await process.stop()
    finally:
        process.close()


def _resolve(seen: asyncio.Future[None]) -> None:
    if not seen.done():
        seen.set_result(None)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    seen: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _resolve, seen)
    try:
        await seen
    finally:
        loop.remove_reader(descriptor)
