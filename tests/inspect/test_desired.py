"""The desired state, read from an API server and from a running proxy."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from kproxy.apiserver.http.app import create_app
from kproxy.apiserver.store import Store
from kproxy.inspect.desired import Where, read_desired, read_settings
from kproxy.inspect.output import InspectionError
from kproxy.lab.proxy import kubeconfig
from kproxy.services.addresses import Family
from kproxy.services.model import ServiceName
from tests.inspect.diff.states import CONFIGURATION

NOBODY = "127.0.0.1:1"


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        await runner.cleanup()


def configz(body: Any) -> web.Application:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(body)

    app = web.Application()
    app.router.add_get("/configz", answer)
    return app


async def test_objects_of_an_api_server(tmp_path: Path) -> None:
    store = Store()
    for number in range(600):  # more than a page
        spec = {"clusterIP": f"10.96.{number // 256}.{number % 256}", "ports": [{"port": 80}]}
        metadata = {"name": f"s{number}", "namespace": "default"}
        store.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    async with serving(create_app(store)) as server:
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(kubeconfig(f"http://{server}")))
        where = Where(kubeconfig=tmp_path / "kubeconfig", metrics=NOBODY, node_name="node")
        settings = await asyncio.to_thread(read_settings, where)
        found = await asyncio.to_thread(read_desired, where, settings)
    assert found is not None
    assert len(found.services) == 600
    assert not found.problems
    (port,) = found.tracker.ports(ServiceName("default", "s599"), Family.IPV4)
    assert port.cluster_ip == bytes((10, 96, 2, 87))


async def test_an_api_server_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(kubeconfig(f"http://{NOBODY}")))
    where = Where(kubeconfig=tmp_path / "kubeconfig", metrics=NOBODY, node_name="node")
    settings = await asyncio.to_thread(read_settings, where)
    with pytest.raises(InspectionError, match=NOBODY):
        await asyncio.to_thread(read_desired, where, settings)


async def test_the_running_proxys_configuration() -> None:
    tree = yaml.safe_load(CONFIGURATION.format(mode="ipvs"))
    async with serving(configz({"kubeproxy.config.k8s.io": tree})) as metrics:
        settings = await asyncio.to_thread(read_settings, Where(metrics=metrics))
    assert settings.running
    assert settings.node == "node"
    assert settings.configuration.mode == "ipvs"


@pytest.mark.parametrize("body", [{}, [], {"kubeproxy.config.k8s.io": {"nonsense": 1}}, json.loads("7")])
async def test_an_answer_that_is_no_configuration(body: Any) -> None:
    async with serving(configz(body)) as metrics:
        with pytest.raises(InspectionError, match="give --config FILE"):
            await asyncio.to_thread(read_settings, Where(metrics=metrics))


async def test_nobody_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    settings = await asyncio.to_thread(read_settings, Where(metrics=NOBODY))
    assert not settings.running
    assert await asyncio.to_thread(read_desired, Where(metrics=NOBODY), settings) is None
