"""The configuration file as editors, programs and kubelets change it."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kproxy.config import ConfigError, Loaded, load_file
from kproxy.sources.configuration_file import ConfigurationFile

HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"


@dataclass
class Follower:
    """What a configuration file has told: the verbosity of each configuration, and each mistake."""

    path: Path
    told: list[str] = field(default_factory=list)
    loads: int = 0
    _called: asyncio.Event = field(default_factory=asyncio.Event)

    def load(self) -> Loaded:
        self.loads += 1
        return load_file(self.path)

    async def changed(self, loaded: Loaded) -> None:
        self._tell(f"v{loaded.configuration.logging.verbosity}")

    def failed(self, error: ConfigError) -> None:
        self._tell(str(error))

    def _tell(self, what: str) -> None:
        self.told.append(what)
        self._called.set()

    async def until(self, *told: str) -> None:
        """Wait until exactly this has been told."""
        try:
            async with asyncio.timeout(5):
                while self.told != list(told):
                    self._called.clear()
                    await self._called.wait()
        except TimeoutError:
            raise AssertionError(f"told {self.told}") from None


def write(path: Path, verbosity: int) -> None:
    path.write_text(f"{HEAD}logging: {{verbosity: {verbosity}}}\n")


async def follow(follower: Follower, poll: float = 60.0) -> asyncio.Task[None]:
    following = ConfigurationFile(
        follower.path, follower.load, on_change=follower.changed, on_error=follower.failed, settle=0.01, poll=poll
    )
    task = asyncio.create_task(following.run())
    await asyncio.sleep(0)
    return task


@pytest.fixture
async def follower(tmp_path: Path) -> AsyncIterator[Follower]:
    """Follows a file in a folder, both made as a kubelet makes a ConfigMap's volume."""
    version = tmp_path / "volume" / "..2026_01"
    version.mkdir(parents=True)
    write(version / "config.conf", 1)
    (tmp_path / "volume" / "..data").symlink_to("..2026_01")
    (tmp_path / "volume" / "config.conf").symlink_to("..data/config.conf")
    follower = Follower(tmp_path / "volume" / "config.conf")
    task = await follow(follower)
    await follower.until("v1")
    yield follower
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_config_map_whose_data_link_is_swapped(follower: Follower) -> None:
    volume = follower.path.parent
    for version in (2, 3):
        (volume / f"..2026_0{version}").mkdir()
        write(volume / f"..2026_0{version}" / "config.conf", version)
        (volume / "..data_tmp").symlink_to(f"..2026_0{version}")
        (volume / "..data_tmp").rename(volume / "..data")
        await follower.until("v1", *(f"v{number}" for number in range(2, version + 1)))


async def test_file_written_in_place_and_replaced(follower: Follower) -> None:
    real = follower.path.resolve()
    write(real, 2)
    await follower.until("v1", "v2")
    write(real.parent / "new", 3)
    (real.parent / "new").rename(real)
    await follower.until("v1", "v2", "v3")


async def test_bad_content_is_told_once_and_mended(follower: Follower) -> None:
    real = follower.path.resolve()
    real.write_text(HEAD + "mod: ipvs\n")
    mistake = f'{follower.path}:3: mod: unknown field; did you mean "mode"?'
    await follower.until("v1", mistake)
    real.write_text(HEAD + "mod: ipvs\n")
    os.utime(real)
    write(real, 2)
    await follower.until("v1", mistake, "v2")


async def test_file_that_goes_and_comes_with_its_folder(follower: Follower) -> None:
    volume = follower.path.parent
    volume.rename(volume.parent / "gone")
    await follower.until("v1", f"{follower.path}: cannot be read: No such file or directory")
    volume.mkdir()
    write(follower.path, 4)
    await follower.until("v1", f"{follower.path}: cannot be read: No such file or directory", "v4")


async def test_same_content_again_is_no_change(follower: Follower) -> None:
    real = follower.path.resolve()
    write(real, 1)
    (follower.path.parent / "unrelated").write_text("x")
    write(real, 2)
    await follower.until("v1", "v2")


async def test_without_notifications_a_look_finds_the_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a single file mounted into a container."""
    monkeypatch.setattr("kproxy.sources.inotify.Inotify._read", lambda self: os.read(self._descriptor, 65536) and None)
    write(tmp_path / "config.conf", 1)
    follower = Follower(tmp_path / "config.conf")
    task = await follow(follower, poll=0.02)
    await follower.until("v1")
    write(follower.path, 2)
    await follower.until("v1", "v2")
    task.cancel()


async def test_without_a_callback_mistakes_are_logged_with_their_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "config.conf"
    path.write_text(HEAD + "mode: ipvss\n")

    async def never(loaded: Loaded) -> None:
        raise AssertionError

    loaded = asyncio.Event()

    def load() -> Loaded:
        loaded.set()
        return load_file(path)

    with caplog.at_level(logging.ERROR):
        task = asyncio.create_task(ConfigurationFile(path, load, on_change=never).run())
        await loaded.wait()
        task.cancel()
    assert caplog.messages[0].startswith(f"{path}:3: mode: must be iptables or")
    assert caplog.messages[1].endswith("going on with the one before")


async def test_links_in_a_circle_and_through_folders(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    follower = Follower(tmp_path / "a")
    task = await follow(follower)
    await follower.until(f"{tmp_path / 'a'}: cannot be read: Too many levels of symbolic links")
    (tmp_path / "real" / "deep").mkdir(parents=True)
    write(tmp_path / "real" / "deep" / "c", 3)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "deep")
    (tmp_path / "a").unlink()
    (tmp_path / "a").symlink_to("link/c")
    await follower.until(f"{tmp_path / 'a'}: cannot be read: Too many levels of symbolic links", "v3")
    write(tmp_path / "real" / "deep" / "c", 4)
    await follower.until(f"{tmp_path / 'a'}: cannot be read: Too many levels of symbolic links", "v3", "v4")
    task.cancel()
