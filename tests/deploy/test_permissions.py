"""The ClusterRole against what the proxy asks of a real API: all of that is allowed, and nothing else."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from kproxy.apiserver import Store, create_app
from kproxy.apiserver.resources import RESOURCES
from tests.daemon import node as daemon_node
from tests.daemon.node import Node, endpoint_slice, service
from tests.deploy.rendering import KUSTOMIZE, Manifests, Renderer

pytestmark = pytest.mark.root

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def permission(request: web.Request) -> tuple[str, str, str] | None:
    """Group, resource and verb that the API server's authorisation would see; None for what all may read.

    https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb
    """
    parts = request.path.strip("/").split("/")
    if parts[0] not in {"api", "apis"}:
        return None
    group = parts[1] if parts[0] == "apis" and len(parts) > 3 else ""
    rest = parts[3:] if parts[0] == "apis" else parts[2:]
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    if not rest:
        return None
    if request.method == "GET":
        watching = request.query.get("watch") in {"1", "true"}
        return group, rest[0], "watch" if watching else "get" if len(rest) > 1 else "list"
    return group, "/".join([rest[0], *rest[2:]]), _VERBS[request.method]


@dataclass
class Recorder:
    """What has been asked of the API that `Node` serves."""

    asked: set[tuple[str, str, str]] = field(default_factory=set)
    streams_lists: bool = True
    """Servers before Kubernetes 1.32 do not (KEP-3157); the proxy then asks for lists."""

    def create_app(self, store: Store) -> web.Application:
        @web.middleware
        async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
            if (needed := permission(request)) is not None:
                self.asked.add(needed)
            if "sendInitialEvents" in request.query and not self.streams_lists:
                refusal = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid", "code": 422}
                return web.json_response(refusal, status=422)
            return await handler(request)

        app = create_app(store)
        app.middlewares.append(record)
        return app


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    made = Recorder()
    monkeypatch.setattr(daemon_node, "create_app", made.create_app)
    return made


@pytest.fixture
async def here(recorder: Recorder, tmp_path: Path) -> AsyncIterator[Node]:
    async with Node(tmp_path) as made:
        made.store.apply(daemon_node.node())
        yield made


def allowed(manifests: Manifests) -> set[tuple[str, str, str]]:
    rules = manifests["ClusterRole/kproxy"]["rules"]
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


async def test_the_role_allows_what_the_proxy_asks_and_nothing_else(
    here: Node, recorder: Recorder, render: Renderer
) -> None:
    made: dict[str, Any] = service("odd")
    made["metadata"]["annotations"] = {"kproxy/balancing": "fairest"}
    here.store.apply(made)
    here.store.apply(endpoint_slice("odd", "10.244.1.1"))
    for recorder.streams_lists in (True, False):
        async with here.proxy() as process:
            await here.eventually(lambda: ("events.k8s.io", "events", "create") in recorder.asked, process)
            await here.stop_api()
            await here.start_api()
            here.store.apply(endpoint_slice("odd", "10.244.1.9"))
            await here.eventually(lambda: "10.244.1.9" in here.table(), process)
        here.store.apply(endpoint_slice("odd", "10.244.1.1"))
    assert allowed(render.kustomize(KUSTOMIZE / "base")) == recorder.asked


@pytest.mark.parametrize("resource", ["services", "nodes", "endpointslices", "events"])
def test_the_api_knows_what_the_role_names(render: Renderer, resource: str) -> None:
    known = {(each.group, each.plural) for each in RESOURCES}
    named = {(group, plural) for group, plural, _ in allowed(render.helm()) if plural == resource}
    assert len(named) == 1
    assert named <= known, json.dumps(sorted(known))
