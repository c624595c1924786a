"""The kernel's file notifications, inotify(7), on the event loop."""

import asyncio
import ctypes
import errno
import os
import struct
from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

# linux/inotify.h
IN_ATTRIB: Final = 0x4
IN_CLOSE_WRITE: Final = 0x8
IN_MOVED_FROM: Final = 0x40
IN_MOVED_TO: Final = 0x80
IN_CREATE: Final = 0x100
IN_DELETE: Final = 0x200
IN_DELETE_SELF: Final = 0x400
IN_MOVE_SELF: Final = 0x800
IN_Q_OVERFLOW: Final = 0x4000
IN_IGNORED: Final = 0x8000
IN_ONLYDIR: Final = 0x01000000
IN_ISDIR: Final = 0x40000000

# IN_CREATE is for folders and links: a regular file's content is there when it is closed.
ANY_CHANGE: Final = (
    IN_ATTRIB | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF
)
"""Of what a folder holds, of what is in its files, or of the folder's own place."""

# struct inotify_event: wd, mask, cookie, len; then the name, padded with zeros to len.
_EVENT: Final = struct.Struct("iIII")
_READ_SIZE: Final = 65536

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class FileEvent:
    """Something happened to `path`: to the folder watched, or to an entry of it; `mask` says what."""

    path: Path
    mask: int


class Inotify:
    """Calls `on_events` on the loop's thread with what happened in the folders added; a context manager.

    An overflow of the kernel's queue is one event with IN_Q_OVERFLOW and an empty path.
    """

    def __init__(self, on_events: Callable[[list[FileEvent]], None]) -> None:
        self._on_events = on_events
        self._folders: dict[int, Path] = {}
        self._descriptor = -1

    def __enter__(self) -> Self:
        self._descriptor = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify_init1")
        asyncio.get_running_loop().add_reader(self._descriptor, self._read)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)

    def add(self, folder: Path, mask: int) -> int:
        """Watch a folder, or the one a link points to, and give the watch's number, the same for the same folder.

        Raises OSError: ENOENT, EACCES, ENOTDIR, or ENOSPC when no more watches are allowed.
        """
        watch = _checked(_libc.inotify_add_watch(self._descriptor, os.fsencode(folder), mask | IN_ONLYDIR), folder)
        self._folders[watch] = folder
        return watch

    def keep(self, watches: Set[int]) -> None:
        """Remove all other watches."""
        for watch in self._folders.keys() - watches:
            del self._folders[watch]
            _libc.inotify_rm_watch(self._descriptor, watch)

    def _read(self) -> None:
        events: list[FileEvent] = []
        try:
            data = os.read(self._descriptor, _READ_SIZE)
        except BlockingIOError:
            return
        offset = 0
        while offset < len(data):
            watch, mask, _, length = _EVENT.unpack_from(data, offset)
            start = offset + _EVENT.size
            offset = start + length
            name = os.fsdecode(data[start:offset].rstrip(b"\0"))
            if mask & IN_Q_OVERFLOW:
                events.append(FileEvent(Path(), mask))
            elif folder := self._folders.get(watch):
                events.append(FileEvent(folder / name if name else folder, mask))
                if mask & IN_IGNORED:
                    del self._folders[watch]
        if events:
            self._on_events(events)


def _checked(result: int, what: Path | str) -> int:
    if result >= 0:
        return result
    number = ctypes.get_errno()
    reason = os.strerror(number)
    if number == errno.ENOSPC:
        reason = "no more watches allowed: raise the sysctl fs.inotify.max_user_watches"
    elif number == errno.EMFILE:
        reason = "no more instances allowed: raise the sysctl fs.inotify.max_user_instances"
    raise OSError(number, reason, str(what))
