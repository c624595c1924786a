"""An API server that has pods' metrics as well, as one with metrics-server beside it has."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from kproxy.apiserver import Store, create_app
from kproxy.lab.api_objects import serve_app
from kproxy.lab.namespaces import Namespace

LABELS = {"k8s-app": "kube-proxy"}
DAEMON_SET: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "DaemonSet",
    "metadata": {"name": "kube-proxy", "namespace": "kube-system"},
    "spec": {
        "selector": {"matchLabels": LABELS},
        "template": {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "kube-proxy", "image": "none"}]}},
    },
    "status": {
        "currentNumberScheduled": 2,
        "desiredNumberScheduled": 2,
        "numberMisscheduled": 0,
        "numberReady": 2,
    },
}
USAGE = [{"cpu": "250000000n", "memory": "64Mi"}, {"cpu": "1500u", "memory": "1M"}]
"""Of each pod's containers."""


@asynccontextmanager
async def serve(namespace: Namespace, store: Store) -> AsyncIterator[str]:
    """Serve a store on a loopback port of a namespace, and give the URL; each request is told of a new window."""
    seconds = itertools.count()

    async def pods(request: web.Request) -> web.Response:
        assert request.query["labelSelector"] == "k8s-app=kube-proxy"
        timestamp = f"2026-01-01T00:00:{next(seconds) % 60:02}Z"
        items = [
            {
                "metadata": {"name": f"kube-proxy-{number}", "namespace": request.match_info["namespace"]},
                "timestamp": timestamp,
                "window": "15s",
                "containers": [{"name": f"c{i}", "usage": usage} for i, usage in enumerate(USAGE)],
            }
            for number in range(2)
        ]
        body = {"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}, "items": items}
        return web.json_response(body)

    app = create_app(store)
    app.router.add_get("/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods", pods)
    async with serve_app(namespace, app) as url:
        yield url
