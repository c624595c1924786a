"""Programs that run beside the benchmark, and do not outlive it."""

import asyncio
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import IO, Final

_GUARD: Final = ("setpriv", "--pdeathsig", "KILL", "--")
_TAIL: Final = 16_384


class RunningProgram:
    """One that was started; its output goes into an unnamed file."""

    def __init__(self, process: asyncio.subprocess.Process, written: IO[bytes]) -> None:
        self._process, self._written = process, written

    @property
    def returncode(self) -> int | None:
        """Its exit status, or minus the signal's number; None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait for its end; gives its exit status."""
        return await self._process.wait()

    def output(self) -> str:
        """The last kilobytes of what it has written until now."""
        size = os.fstat(self._written.fileno()).st_size
        return os.pread(self._written.fileno(), _TAIL, max(0, size - _TAIL)).decode(errors="replace")


@asynccontextmanager
async def launch(argv: Sequence[str]) -> AsyncIterator[RunningProgram]:
    """Run a program in this network namespace for the length of a block; the kernel ends it if we are killed.

    Raises:
        OSError: setpriv(1) is missing. If the program itself is, it ends with status 127.
    """
    with tempfile.TemporaryFile() as written:
        process = await asyncio.create_subprocess_exec(
            *_GUARD, *argv, stdin=subprocess.DEVNULL, stdout=written, stderr=subprocess.STDOUT
        )
        try:
            yield RunningProgram(process, written)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
