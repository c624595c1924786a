"""A folder of manifests, and all that editors and Kubernetes do to one."""

import asyncio
import logging
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from kproxy.services.objects import EndpointSlice, Service
from kproxy.sources.errors import SourceError
from kproxy.sources.manifests import ManifestSource

from .recording_sink import RecordingSink


def manifest(name: str, port: int = 80) -> str:
    return (
        f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n"
        f"spec: {{clusterIP: 10.96.0.1, ports: [{{port: {port}}}]}}\n---\n"
    )


class Folder:
    """A folder at `path` that a source follows into `sink` once `follow` was called."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sink = RecordingSink()
        self._task: asyncio.Task[None] | None = None

    async def follow(self) -> None:
        self._task = asyncio.create_task(ManifestSource(self.path, self.sink).run())
        await self.sink.until(lambda: {"=Service", "=EndpointSlice", "=Node"} <= set(self.sink.log))

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text)

    async def ports(self, **expected: int) -> None:
        """Wait until there are these Services with these ports, and no others."""

        def present() -> dict[str, int]:
            services = [obj for obj in self.sink.objects.values() if isinstance(obj, Service)]
            return {obj.metadata.name: (obj.spec.ports or [])[0].port for obj in services}

        await self.sink.until(lambda: present() == expected)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        assert self.sink.wrong == []


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Folder]:
    path = tmp_path / "manifests"
    path.mkdir()
    folder = Folder(path)
    yield folder
    await folder.stop()


async def test_present_files_come_before_synced(folder: Folder) -> None:
    folder.write("a.yaml", manifest("a") + manifest("b"))
    folder.write("c.yml", manifest("c"))
    folder.write(
        "d.json", '{"apiVersion":"v1","kind":"Service","metadata":{"name":"d"},"spec":{"ports":[{"port":80}]}}'
    )
    folder.write("notes.txt", manifest("ignored"))
    folder.write(".hidden.yaml", manifest("ignored"))
    (folder.path / "sub" / "deep").mkdir(parents=True)
    folder.write("sub/deep/e.yaml", manifest("e"))
    await folder.follow()
    assert sorted(folder.sink.log[:5]) == ["+a@", "+b@", "+c@", "+d@", "+e@"]
    assert folder.sink.log[5:] == ["=Service", "=EndpointSlice", "=Node"]


async def test_changes_are_told_and_nothing_else(folder: Folder) -> None:
    folder.write("a.yaml", manifest("a") + manifest("b"))
    await folder.follow()
    folder.write("a.yaml", manifest("a") + manifest("b", 81) + manifest("c"))
    await folder.ports(a=80, b=81, c=80)
    (folder.path / "a.yaml").unlink()
    await folder.ports()
    assert folder.sink.log.count("+a@") == 1


async def test_rename_into_place_as_editors_do(folder: Folder) -> None:
    folder.write("a.yaml", manifest("a"))
    await folder.follow()
    folder.write(".a.yaml.swp", manifest("a", 99))
    (folder.path / ".a.yaml.swp").rename(folder.path / "a.yaml")
    await folder.ports(a=99)
    (folder.path / "a.yaml").rename(folder.path / "b.yaml")
    folder.write("c.yaml", manifest("c"))
    await folder.ports(a=99, c=80)
    assert folder.sink.log[-1] == "+c@"


async def test_file_being_written_is_left_alone(folder: Folder) -> None:
    folder.write("a.yaml", manifest("a") + manifest("b"))
    await folder.follow()
    with (folder.path / "a.yaml").open("w") as half, (folder.path / "new.yaml").open("w") as new:
        half.write(manifest("a"))
        half.flush()
        new.write(manifest("n"))
        new.flush()
        folder.write("other.yaml", manifest("o"))
        await folder.ports(a=80, b=80, o=80)
        half.write(manifest("b", 81))
    await folder.ports(a=80, b=81, o=80, n=80)
    assert "-b" not in folder.sink.log


async def test_folders_come_and_go(folder: Folder, tmp_path: Path) -> None:
    await folder.follow()
    (folder.path / "sub").mkdir()
    folder.write("sub/a.yaml", manifest("a"))
    await folder.ports(a=80)
    folder.write("sub/a.yaml", manifest("a", 81))
    await folder.ports(a=81)
    outside = tmp_path / "outside"
    (outside / "in").mkdir(parents=True)
    (outside / "in" / "b.yaml").write_text(manifest("b"))
    outside.rename(folder.path / "moved")
    await folder.ports(a=81, b=80)
    folder.write("moved/in/b.yaml", manifest("b", 82))
    await folder.ports(a=81, b=82)
    shutil.rmtree(folder.path / "sub")
    await folder.ports(b=82)
    (folder.path / "moved").rename(tmp_path / "away")
    await folder.ports()


async def test_volume_of_a_config_map(folder: Folder) -> None:
    """Links to ..data/NAME, and ..data a link that is swapped."""

    def publish(version: str, **files: str) -> None:
        (folder.path / version).mkdir()
        for name, text in files.items():
            (folder.path / version / f"{name}.yaml").write_text(text)
        (folder.path / "..data_tmp").symlink_to(version)
        (folder.path / "..data_tmp").rename(folder.path / "..data")
        for name in files:
            with suppress(FileExistsError):
                (folder.path / f"{name}.yaml").symlink_to(f"..data/{name}.yaml")

    publish("..2026_01", a=manifest("a"), b=manifest("b"))
    await folder.follow()
    await folder.ports(a=80, b=80)
    publish("..2026_02", a=manifest("a", 81), b=manifest("b"), c=manifest("c"))
    shutil.rmtree(folder.path / "..2026_01")
    await folder.ports(a=81, b=80, c=80)
    assert folder.sink.log.count("+b@") == 1


async def test_folder_replaced_as_a_whole(folder: Folder, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.write("a.yaml", manifest("a"))
    folder.write("b.yaml", manifest("b"))
    await folder.follow()
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.yaml").write_text(manifest("a", 81))
    folder.path.rename(tmp_path / "old")
    async with asyncio.timeout(5):
        while "keeping what was read" not in caplog.text:  # noqa: ASYNC110  # a log record is no event
            await asyncio.sleep(0.01)
    assert "-a" not in folder.sink.log
    other.rename(folder.path)
    await folder.ports(a=81)
    folder.write("c.yaml", manifest("c"))
    await folder.ports(a=81, c=80)


async def test_folder_that_is_a_link(tmp_path: Path) -> None:
    for version, port in (("v1", 80), ("v2", 81)):
        (tmp_path / version).mkdir()
        (tmp_path / version / "a.yaml").write_text(manifest("a", port))
    (tmp_path / "current").symlink_to("v1")
    folder = Folder(tmp_path / "current")
    await folder.follow()
    await folder.ports(a=80)
    (tmp_path / "next").symlink_to("v2")
    (tmp_path / "next").rename(tmp_path / "current")
    await folder.ports(a=81)
    (tmp_path / "v2" / "a.yaml").write_text(manifest("a", 82))
    await folder.ports(a=82)
    await folder.stop()


async def test_bad_file_keeps_what_it_held(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    folder.write("a.yaml", manifest("a") + manifest("b"))
    folder.write("o.yaml", manifest("o"))
    await folder.follow()
    with caplog.at_level(logging.ERROR):
        folder.write("a.yaml", manifest("a", 81) + "kind: [\n")
        await folder.ports(a=81, b=80, o=80)
        folder.write("o.yaml", manifest("o", 82))
        await folder.ports(a=81, b=80, o=82)
        folder.write("a.yaml", manifest("a", 83) + "kind: [\n")
        await folder.ports(a=83, b=80, o=82)
    lines = [record.message for record in caplog.records]
    assert len(lines) == 1
    assert lines[0].startswith(f"{folder.path}/a.yaml:")
    folder.write("a.yaml", manifest("a", 84))
    await folder.ports(a=84, o=82)


async def test_bad_object_names_its_line_and_keeps_its_last_version(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    folder.write("a.yaml", manifest("a") + manifest("b"))
    await folder.follow()
    with caplog.at_level(logging.ERROR):
        bad = "apiVersion: v1\nkind: Service\nmetadata:\n  name: b\nspec:\n  ports:\n  - port: 1\n  - port: x\n"
        folder.write("a.yaml", manifest("a", 81) + bad)
        await folder.ports(a=81, b=80)
    (record,) = caplog.records
    line = (manifest("a") + bad).split("\n").index("  - port: x") + 1
    assert record.message.startswith(f"{folder.path}/a.yaml:{line}: Service: Expected `int`, got `str`")


async def test_unreadable_file_keeps_what_it_held(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    folder.write("a.yaml", manifest("a"))
    await folder.follow()
    (folder.path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    folder.write("b.yaml", manifest("b"))
    await folder.ports(a=80, b=80)
    assert "not UTF-8" in caplog.text


async def test_first_of_two_definitions_counts(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    folder.write("b.yaml", manifest("x", 2))
    await folder.follow()
    folder.write("a.yaml", manifest("x", 1))
    await folder.ports(x=1)
    assert "is in" in caplog.text
    folder.write("b.yaml", manifest("x", 3) + manifest("y"))
    await folder.ports(x=1, y=80)
    (folder.path / "a.yaml").unlink()
    await folder.ports(x=3, y=80)


async def test_links_hard_and_soft(folder: Folder, tmp_path: Path) -> None:
    await folder.follow()
    (tmp_path / "t.yaml").write_text(manifest("a"))
    os.link(tmp_path / "t.yaml", folder.path / "hard.yaml")
    await folder.ports(a=80)
    (tmp_path / "s.yaml").write_text(manifest("b"))
    (folder.path / "soft.yaml").symlink_to(tmp_path / "s.yaml")
    await folder.ports(a=80, b=80)
    (folder.path / "loop.yaml").symlink_to("loop.yaml")
    (folder.path / "dangling.yaml").symlink_to("nowhere")
    os.mkfifo(folder.path / "pipe.yaml")
    folder.write("c.yaml", manifest("c"))
    await folder.ports(a=80, b=80, c=80)


async def test_objects_of_others_are_left_out(folder: Folder) -> None:
    for label in ("service.kubernetes.io/headless", "service.kubernetes.io/service-proxy-name"):
        head = f"apiVersion: v1\nkind: Service\nmetadata: {{name: x, labels: {{{label}: ''}}}}\n---\n"
        folder.write(f"{label.rpartition('/')[2]}.yaml", head)
    folder.write("a.yaml", manifest("a"))
    await folder.follow()
    assert folder.sink.names == {"a"}


async def test_slice_beside_its_service(folder: Folder) -> None:
    folder.write(
        "a.yaml", "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s}\nports: [{port: 1}]\n"
    )
    await folder.follow()
    found = folder.sink.objects[EndpointSlice, "default", "s"]
    assert isinstance(found, EndpointSlice)
    assert found.address_type == "IPv4"


async def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere: no such folder"):
        await ManifestSource(tmp_path / "nowhere", RecordingSink()).run()


async def test_many_changes_at_once(folder: Folder) -> None:
    await folder.follow()
    for number in range(300):
        folder.write(f"{number}.yaml", manifest(f"s{number}", number + 1))
    await folder.ports(**{f"s{number}": number + 1 for number in range(300)})
    for number in range(0, 300, 2):
        (folder.path / f"{number}.yaml").unlink()
    await folder.ports(**{f"s{number}": number + 1 for number in range(1, 300, 2)})
