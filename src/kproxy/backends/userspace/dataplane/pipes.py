"""Pipes for zero-copy forwarding: made when needed, kept for the next transfer, never more than a limit."""

import fcntl
import os
from typing import NamedTuple

_IDLE = 32
"""Empty pipes that are kept."""


class Pipe(NamedTuple):
    reading: int
    writing: int
    capacity: int
    """Bytes to ask splice(2) for."""

    def close(self) -> None:
        os.close(self.reading)
        os.close(self.writing)


class PipePool:
    """Hands out empty pipes."""

    def __init__(self, limit: int, capacity: int) -> None:
        """Prepare.

        Args:
            limit: how many at a time
            capacity: of each, in bytes; less where the kernel does not grant it (fs.pipe-user-pages-soft)
        """
        self._limit, self._capacity = limit, capacity
        self._idle: list[Pipe] = []
        self._taken = 0

    def take(self) -> Pipe | None:
        """An empty pipe; None when all are in use, or no descriptors are left."""
        if self._taken >= self._limit:
            return None
        if self._idle:
            self._taken += 1
            return self._idle.pop()
        try:
            reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        self._taken += 1
        try:
            capacity = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, self._capacity)
        except OSError:
            capacity = fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ)
        return Pipe(reading, writing, capacity)

    def give_back(self, pipe: Pipe, *, empty: bool) -> None:
        """Take a pipe back; one that still holds something of a connection that ended is not used again."""
        self._taken -= 1
        if empty and len(self._idle) < _IDLE:
            self._idle.append(pipe)
        else:
            pipe.close()

    def close(self) -> None:
        for pipe in self._idle:
            pipe.close()
        self._idle.clear()
