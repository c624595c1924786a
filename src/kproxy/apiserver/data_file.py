"""A store's objects in a file, so that they outlive the server.

The file is JSON lines: the resourceVersion first, then every object. It is replaced as a whole, at most once a
second, and only when something has changed.
"""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from kproxy.apiserver.errors import Json
from kproxy.apiserver.resources import STORED_RESOURCES, Resource, resource_of
from kproxy.apiserver.store import Store
from kproxy.apiserver.stored import type_header

SECONDS_BETWEEN_SAVES = 1.0

VERSIONS_SKIPPED = 1_000_000
"""How far resourceVersions jump at a load, so that those of writes that were lost in a crash are not given again."""


class DataFileError(ValueError):
    """The file is not one that `save` has written; the message names the line."""


def load(store: Store, path: Path) -> bool:
    """Put a file's objects into a fresh store; False when there is no file yet.

    Raises `DataFileError` for a broken file, `OSError` for one that cannot be read.
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return False
    header = _decode(lines[0] if lines else b"", path, 1)
    version = header.get("resourceVersion")
    if not isinstance(version, int):
        raise DataFileError(f"{path}:1: the resourceVersion is missing")
    try:
        store.restore(list(_objects(lines[1:], path)), version + VERSIONS_SKIPPED)
    except (LookupError, TypeError, AttributeError) as error:
        raise DataFileError(f"{path}: an object lacks what every stored object has: {error!r}") from error
    return True


def save(store: Store, path: Path) -> None:
    """Replace the file by the store's objects; raises `OSError`, and then leaves the old file as it was."""
    _write(path, _lines(store))


async def keep(store: Store, path: Path) -> None:
    """Save after changes until cancelled, and once more then; `OSError` ends it."""
    changed = asyncio.Event()
    unsubscribe = [store.collection(resource).subscribe(changed.set) for resource in STORED_RESOURCES]
    try:
        while True:
            await changed.wait()
            changed.clear()
            writing = asyncio.ensure_future(asyncio.to_thread(_write, path, _lines(store)))
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                await writing  # The last save must not overtake this one.
                raise
            await asyncio.sleep(SECONDS_BETWEEN_SAVES)
    finally:
        for end in unsubscribe:
            end()
        if changed.is_set():
            save(store, path)


def _lines(store: Store) -> list[bytes]:
    headers = {resource.key: type_header(resource) for resource in STORED_RESOURCES}
    lines = [msgspec.json.encode({"resourceVersion": store.resource_version})]
    lines += [headers[resource.key] + obj.data[1:] for resource, obj in store.snapshot()]
    return lines


def _write(path: Path, lines: list[bytes]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(b"\n".join(lines) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _objects(lines: list[bytes], path: Path) -> Iterator[tuple[Resource, Json]]:
    for number, line in enumerate(lines, start=2):
        obj = _decode(line, path, number)
        resource = resource_of(str(obj.get("apiVersion")), str(obj.get("kind")))
        if resource is None or not isinstance(obj.get("metadata"), dict):
            raise DataFileError(f"{path}:{number}: not an object that the server knows")
        yield resource, obj


def _decode(line: bytes, path: Path, number: int) -> Json:
    try:
        return msgspec.json.decode(line, type=dict[str, object])
    except msgspec.DecodeError as error:
        raise DataFileError(f"{path}:{number}: {error}") from error
