"""Manifests, the data file, the kubeconfig, and the command that uses them."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from kproxy.apiserver import Store
from kproxy.apiserver.data_file import DataFileError, keep, load, save
from kproxy.apiserver.kubeconfig import write_kubeconfig
from kproxy.apiserver.manifests import load_manifests
from kproxy.apiserver.resources import ENDPOINT_SLICES, SERVICES
from tests.apiserver.builders import endpoint_slice, service


def write(path: Path, *documents: Any) -> None:
    path.write_text(yaml.safe_dump_all(documents))


def test_manifests_of_all_shapes(store: Store, tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", service("a"), None, service("b", namespace="shop"))
    write(tmp_path / "b.yml", {"kind": "List", "items": [service("c"), endpoint_slice()]})
    write(tmp_path / "notes.txt", "not a manifest")
    loaded = load_manifests(store, tmp_path)
    assert (loaded.count, loaded.problems) == (4, [])
    assert [obj.key for obj in store.collection(SERVICES).scan()] == [
        ("default", "a"),
        ("default", "c"),
        ("shop", "b"),
    ]


def test_what_is_wrong_keeps_nothing_else_out(store: Store, tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", service("BAD"), "text", {"kind": "Pod", "apiVersion": "v1"}, service("good"))
    (tmp_path / "b.yaml").write_text("a: [")
    loaded = load_manifests(store, tmp_path)
    assert loaded.count == 1
    assert len(loaded.problems) == 4
    assert any("a.yaml: Service BAD: " in problem and "metadata.name" in problem for problem in loaded.problems)


def test_a_data_file_brings_everything_back(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "objects"
    assert load(Store(), path) is False
    stored = store.apply(service(type="NodePort"))
    store.apply(endpoint_slice())
    version = store.resource_version
    save(store, path)
    again = Store()
    assert load(again, path) is True
    obj = again.get(SERVICES, "default", "web")
    assert {"apiVersion": "v1", "kind": "Service", **obj.decode()} == stored
    assert again.resource_version > version
    assert len(again.collection(ENDPOINT_SLICES)) == 1
    assert again.apply(service("other", type="NodePort"))["spec"]["ports"][0]["nodePort"] != 30000
    assert again.apply(service("third"))["spec"]["clusterIP"] != stored["spec"]["clusterIP"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["objects"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"resourceVersion": "x"}',
        '{"resourceVersion": 1}\n{"kind": "Pod"}',
        '{"resourceVersion": 1}\n{"kind": "Service", "apiVersion": "v1", "metadata": {"name": "x"}}',
    ],
)
def test_a_broken_data_file_is_an_error(store: Store, tmp_path: Path, text: str) -> None:
    path = tmp_path / "objects"
    path.write_text(text)
    with pytest.raises(DataFileError, match="objects"):
        load(store, path)


async def test_changes_are_kept_and_the_last_ones_too(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "objects"
    keeping = asyncio.create_task(keep(store, path))
    await asyncio.sleep(0)
    store.apply(service("a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    store.apply(service("b"))
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping
    again = Store()
    load(again, path)
    assert [obj.name for obj in again.collection(SERVICES)] == ["a", "b"]


def test_a_kubeconfig_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.touch(0o644)
    write_kubeconfig(path, "http://127.0.0.1:1", token="secret")
    assert path.stat().st_mode & 0o777 == 0o600
    config = yaml.safe_load(path.read_text())
    assert config["users"][0]["user"] == {"token": "secret"}
    assert config["clusters"][0]["cluster"] == {"server": "http://127.0.0.1:1"}


async def test_the_command_serves_keeps_and_stops(tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    write(manifests / "web.yaml", service())
    arguments = ["--port", "0", "--manifests", str(manifests), "--data", str(tmp_path / "objects")]
    arguments += ["--kubeconfig-out", str(tmp_path / "kubeconfig"), "--service-cidr", "10.5.0.0/24"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", "from kproxy.cli.apiserver import app; app()", *arguments),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        lines: list[bytes] = []
        async with asyncio.timeout(20):
            while not lines or b"serving on" not in lines[-1]:
                lines.append(await process.stdout.readline())
                assert lines[-1], "the server has ended"
        url = yaml.safe_load((tmp_path / "kubeconfig").read_text())["clusters"][0]["cluster"]["server"]
        async with aiohttp.ClientSession(url) as http:
            async with http.get("/api/v1/services") as response:
                (item,) = (await response.json())["items"]
            assert item["spec"]["clusterIP"].startswith("10.5.0.")
            async with http.post("/api/v1/namespaces/default/services", json=service("late")) as response:
                assert response.status == 201
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    again = Store(service_cidrs=["10.5.0.0/24"])
    load(again, tmp_path / "objects")
    assert again.get(SERVICES, "default", "late")
