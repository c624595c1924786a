"""Services, EndpointSlices and Nodes from a folder of manifests, followed as it changes."""

import asyncio
import logging
from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kproxy.services.objects import HEADLESS_LABEL, PROXY_NAME_LABEL, EndpointSlice, KubeObject, Node, Service
from kproxy.sources.errors import SourceError
from kproxy.sources.manifest_files import ManifestFile, ObjectKey, Problem, parse_manifest
from kproxy.sources.manifest_folder import Listing, ManifestFolder, Signature
from kproxy.sources.sink import Sink

# Seconds in which an editor's rename or a checkout of many files is seen as one change.
_SETTLE: Final = 0.05

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A file as it was last read."""

    signature: Signature
    objects: dict[ObjectKey, KubeObject]
    problems: list[Problem]


class ManifestSource:
    """Reads *.yaml, *.yml and *.json below a folder, and follows every change.

    A file with a problem adds and changes objects but takes none away until it is mended; the same holds for
    a folder that is gone. Of several definitions of an object the first by path counts. Headless Services and those
    of other proxies are left out by label, as the API source does.
    """

    def __init__(self, folder: Path, sink: Sink) -> None:
        self._folder = folder
        self._sink = sink
        self._files: dict[Path, _Loaded] = {}
        self._holders: dict[ObjectKey, list[Path]] = {}
        self._delivered: dict[ObjectKey, KubeObject] = {}

    async def run(self) -> None:
        """Keep the sink up to date until cancelled; raises SourceError when the folder cannot be watched."""
        if not self._folder.is_dir():
            raise SourceError(f"{self._folder}: no such folder")
        try:
            with ManifestFolder(self._folder) as folder:
                await self._load(folder.scan())
                for kind in (Service, EndpointSlice, Node):
                    self._sink.synced(kind)
                while True:
                    await folder.changed(_SETTLE)
                    await self._load(folder.scan())
        except OSError as error:
            raise SourceError(f"{self._folder}: {error}") from error

    async def _load(self, listing: Listing) -> None:
        stale = [path for path in sorted(listing.files) if self._is_stale(path, listing)]
        # Off the loop, which has health checks to answer while a large folder is parsed.
        parsed = await asyncio.to_thread(_parse_all, stale)
        touched: set[ObjectKey] = set()
        for path, found in zip(stale, parsed, strict=True):
            touched |= self._replace(path, self._merged(path, listing.files[path], found))
        if listing.complete:
            for path in self._files.keys() - listing.files.keys():
                touched |= self._replace(path, None)
        self._deliver(touched)

    def _is_stale(self, path: Path, listing: Listing) -> bool:
        loaded = self._files.get(path)
        return path in listing.settled and (loaded is None or loaded.signature != listing.files[path])

    def _merged(self, path: Path, signature: Signature, found: ManifestFile) -> _Loaded:
        """Log what is wrong with a file, once, and keep what it held before in its place."""
        objects = {key: obj for key, obj in found.objects.items() if _is_ours(obj)}
        earlier = self._files.get(path)
        for problem in found.problems:
            if earlier is None or problem not in earlier.problems:
                log.error("%s:%d: %s", path, problem.line, problem.reason)
        if earlier is not None and found.problems:
            objects = earlier.objects | objects
        return _Loaded(signature, objects, found.problems)

    def _replace(self, path: Path, loaded: _Loaded | None) -> set[ObjectKey]:
        """Put a file in the place of its earlier version, and give the objects that either holds."""
        earlier = self._files.pop(path, None)
        before = set(earlier.objects) if earlier else set()
        after = set(loaded.objects) if loaded else set()
        if loaded is not None:
            self._files[path] = loaded
        for key in before - after:
            self._holders[key].remove(path)
        for key in after - before:
            holders = self._holders.setdefault(key, [])
            insort(holders, path)
            if len(holders) > 1:
                kind, namespace, name = key
                log.warning("%s %s/%s is in %s and %s; the first counts", kind.__name__, namespace, name, *holders[:2])
        return before | after

    def _deliver(self, touched: Iterable[ObjectKey]) -> None:
        for key in touched:
            holders = self._holders[key]
            if not holders:
                del self._holders[key]
                if self._delivered.pop(key, None) is not None:
                    self._sink.delete(*key)
                continue
            obj = self._files[holders[0]].objects[key]
            if self._delivered.get(key) != obj:
                self._delivered[key] = obj
                self._sink.upsert(obj)


def _parse_all(paths: list[Path]) -> list[ManifestFile]:
    return [_parse(path) for path in paths]


def _parse(path: Path) -> ManifestFile:
    try:
        return parse_manifest(path, path.read_text(encoding="utf-8"))
    except OSError as error:
        return ManifestFile(problems=[Problem(1, error.strerror or str(error))])
    except UnicodeDecodeError as error:
        return ManifestFile(problems=[Problem(1, f"not UTF-8 text: {error.reason} at byte {error.start}")])


def _is_ours(obj: KubeObject) -> bool:
    labels = obj.metadata.labels or {}
    return HEADLESS_LABEL not in labels and PROXY_NAME_LABEL not in labels
