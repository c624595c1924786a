"""Which manifest files a folder holds, and when to look again."""

import asyncio
import errno
import logging
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeAlias

from kproxy.sources import inotify
from kproxy.sources.inotify import FileEvent, Inotify
from kproxy.sources.manifest_files import SUFFIXES

_PARENT_EVENTS: Final = inotify.IN_CREATE | inotify.IN_MOVED_TO | inotify.IN_MOVED_FROM | inotify.IN_DELETE
_FILE_SETTLED: Final = inotify.IN_ATTRIB | inotify.IN_CLOSE_WRITE | inotify.IN_MOVED_TO

# Device, inode, size, and the times of the last change of content and of attributes in nanoseconds.
Signature: TypeAlias = tuple[int, int, int, int, int]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Listing:
    """The manifest files found, with what changes when they do.

    `settled` are those that nobody is known to be writing just now. What is not in an incomplete listing may
    exist all the same.
    """

    files: dict[Path, Signature] = field(default_factory=dict)
    settled: set[Path] = field(default_factory=set)
    complete: bool = True


class ManifestFolder:
    """Watches a folder and those below it; a context manager.

    Hidden names are passed over, as editors and Kubernetes' volume writer put unfinished things there. Links to
    files are followed, links to folders are not, but for the folder itself, which may also be replaced as a whole.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder.absolute()
        self._inotify = Inotify(self._notice)
        self._changed = asyncio.Event()
        self._written: set[Path] = set()
        self._watches: set[int] = set()
        self._trust_all = False
        self._failing: set[Path] = set()

    def __enter__(self) -> Self:
        self._inotify.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inotify.__exit__(kind, error, trace)

    async def changed(self, settle: float) -> None:
        """Wait for a change, and `settle` seconds more for others that belong to it."""
        await self._changed.wait()
        await asyncio.sleep(settle)

    def scan(self) -> Listing:
        """Look now; what changes from here on is in the next `changed`. Raises OSError if no watch is to be had."""
        self._changed.clear()
        written, self._written = self._written, set()
        trust_all, self._trust_all = self._trust_all, False
        listing = Listing()
        watches = {self._inotify.add(self.path.parent, _PARENT_EVENTS)}
        folders = [self.path]
        while folders:
            folder = folders.pop()
            try:
                # The watch comes first, so that nothing happens between it and the look.
                watch = self._inotify.add(folder, inotify.ANY_CHANGE)
                watches.add(watch)
                fresh = trust_all or watch not in self._watches
                folders += self._look(folder, listing, written, fresh=fresh)
                self._failing.discard(folder)
            except OSError as error:
                self._unreadable(folder, error, listing)
        self._inotify.keep(watches)
        self._watches = watches
        return listing

    def _look(self, folder: Path, listing: Listing, written: set[Path], *, fresh: bool) -> list[Path]:
        """Add a folder's files to the listing, and give the folders in it."""
        inner = []
        with os.scandir(folder) as entries:
            for entry in entries:
                path = folder / entry.name
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    inner.append(path)
                    continue
                if path.suffix not in SUFFIXES:
                    continue
                try:
                    status = entry.stat()
                except FileNotFoundError:
                    continue
                if not stat.S_ISREG(status.st_mode):
                    continue
                listing.files[path] = (
                    status.st_dev,
                    status.st_ino,
                    status.st_size,
                    status.st_mtime_ns,
                    status.st_ctime_ns,
                )
                if fresh or path in written or entry.is_symlink() or status.st_nlink > 1:
                    listing.settled.add(path)
        return inner

    def _unreadable(self, folder: Path, error: OSError, listing: Listing) -> None:
        if error.errno in {errno.ENOSPC, errno.EMFILE}:
            raise error
        if folder != self.path and error.errno in {errno.ENOENT, errno.ENOTDIR}:
            return
        listing.complete = False
        if folder not in self._failing:
            log.warning("%s: %s; keeping what was read from it", folder, error.strerror)
            self._failing.add(folder)

    def _notice(self, events: list[FileEvent]) -> None:
        for event in events:
            if event.mask & inotify.IN_Q_OVERFLOW:
                self._trust_all = True
            elif event.path.parent == self.path.parent and event.path != self.path:
                continue
            elif event.mask & _FILE_SETTLED:
                self._written.add(event.path)
            self._changed.set()
