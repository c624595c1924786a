"""The configuration file, followed as it changes: written in place, replaced, or swapped as a ConfigMap's volume is."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Generic, NoReturn, TypeVar

from kproxy.config import ConfigError
from kproxy.sources import inotify
from kproxy.sources.inotify import FileEvent, Inotify

_MOST_LINKS: Final = 40  # MAXSYMLINKS, linux/namei.h

T = TypeVar("T")

log = logging.getLogger(__name__)


class ConfigurationFile(Generic[T]):
    """Loads the configuration anew whenever the content of its file changes.

    Kubernetes swaps a ConfigMap's files by renaming the link `..data` beside them, so every folder that holds a link
    on the way to the file is watched. Where the kernel tells nothing (a single file mounted into a container, a network
    file system) a look every `poll` seconds finds the change.
    """

    def __init__(
        self,
        path: Path,
        load: Callable[[], T],
        *,
        on_change: Callable[[T], Awaitable[None]],
        on_error: Callable[[ConfigError], None] | None = None,
        settle: float = 0.1,
        poll: float = 60.0,
    ) -> None:
        """Make it ready to run.

        Args:
            path: the file
            load: reads and judges it; raises ConfigError. With `parse_command_line` and the process' arguments in it,
                the flags that count beside a file do so again.
            on_change: awaited with each new configuration that can be used; at the start too, as the file may have
                changed since it was loaded
            on_error: told why one cannot be used, while the old one stays; without it that is logged
            settle: seconds after a change in which others belong to it
            poll: seconds after which to look without being told to
        """
        self._path = path.absolute()
        self._load = load
        self._on_change = on_change
        self._on_error = on_error or _log_error
        self._settle = settle
        self._poll = poll
        self._touched = asyncio.Event()
        self._seen: tuple[bytes | None] | None = None

    async def run(self) -> NoReturn:
        """Follow the file until cancelled.

        Raises:
            OSError: no watch is to be had
        """
        with Inotify(self._notice) as watcher:
            while True:
                self._touched.clear()
                # The watches come first, so that nothing happens between them and the look.
                self._watch(watcher)
                seen = (_read(self._path),)
                if seen != self._seen:
                    self._seen = seen
                    await self._reload()
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._poll):
                        await self._touched.wait()
                await asyncio.sleep(self._settle)

    def look(self) -> None:
        """Look now, without waiting for the kernel to tell of a change."""
        self._touched.set()

    async def _reload(self) -> None:
        try:
            loaded = self._load()
        except ConfigError as error:
            self._on_error(error)
        else:
            await self._on_change(loaded)

    def _watch(self, watcher: Inotify) -> None:
        watches = set()
        for folder in _folders(self._path):
            # One that goes just now is noticed in the folder above it, or at the next look.
            with suppress(FileNotFoundError, NotADirectoryError):
                watches.add(watcher.add(folder, inotify.ANY_CHANGE))
        watcher.keep(watches)

    def _notice(self, events: list[FileEvent]) -> None:
        self._touched.set()


def _read(path: Path) -> bytes | None:
    """What the file holds; None if it cannot be read, which is for whoever loads it to explain."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def _folders(path: Path) -> set[Path]:
    """The folders to watch: where the file and the links on the way to it are, or should be."""
    found: set[Path] = set()
    for _ in range(_MOST_LINKS):
        link = next((p for p in (*reversed(path.parents), path) if p.is_symlink()), None)
        if link is None:
            break
        found.add(link.parent)
        path = Path(os.path.normpath(link.parent / link.readlink() / path.relative_to(link)))
    found.add(next(folder for folder in path.parents if folder.is_dir()))
    return found


def _log_error(error: ConfigError) -> None:
    for problem in error.problems:
        log.error("%s", problem)
    log.error("The changed configuration cannot be used; going on with the one before")
