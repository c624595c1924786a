"""A sink that remembers, and that notices what a source must never do."""

import asyncio
from collections.abc import Callable

from kproxy.services.objects import KubeObject

Key = tuple[type[KubeObject], str, str]


class RecordingSink:
    """`objects` is the state, `log` the calls ("+name@version", "-name", "=Kind"), `wrong` the broken promises."""

    def __init__(self) -> None:
        self.objects: dict[Key, KubeObject] = {}
        self.log: list[str] = []
        self.wrong: list[str] = []
        self._called = asyncio.Event()

    def upsert(self, obj: KubeObject) -> None:
        meta = obj.metadata
        key = (type(obj), meta.namespace, meta.name)
        known = self.objects.get(key)
        if known == obj or (
            known and meta.resource_version and known.metadata.resource_version == meta.resource_version
        ):
            self.wrong.append(f"{meta.name} delivered twice")
        self.objects[key] = obj
        self._record(f"+{meta.name}@{meta.resource_version}")

    def delete(self, kind: type[KubeObject], namespace: str, name: str) -> None:
        if self.objects.pop((kind, namespace, name), None) is None:
            self.wrong.append(f"{name} deleted without being there")
        self._record(f"-{name}")

    def synced(self, kind: type[KubeObject]) -> None:
        if f"={kind.__name__}" in self.log:
            self.wrong.append(f"{kind.__name__} synced twice")
        self._record(f"={kind.__name__}")

    @property
    def versions(self) -> dict[str, str]:
        return {obj.metadata.name: obj.metadata.resource_version for obj in self.objects.values()}

    @property
    def names(self) -> set[str]:
        return {name for _, _, name in self.objects}

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until a condition holds, looking after each call."""
        try:
            async with asyncio.timeout(5):
                while not holds():
                    self._called.clear()
                    await self._called.wait()
        except TimeoutError:
            raise AssertionError(f"did not come to hold; log: {self.log}") from None

    def _record(self, line: str) -> None:
        self.log.append(line)
        self._called.set()
