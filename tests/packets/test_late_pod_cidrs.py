"""detectLocalMode NodeCIDR on a node that registers before it is given its pods' networks."""

import time
from typing import Any

import pytest

from kproxy.lab.api_objects import serve_api
from kproxy.lab.kubernetes_objects import ServiceDefinition, endpoint_slices, nodes, service
from kproxy.lab.lab import Lab
from kproxy.lab.probe import Result
from kproxy.lab.proxy import configuration, run_proxy
from kproxy.lab.runner import DEFAULT_PROXY

pytestmark = pytest.mark.root


async def test_nothing_is_programmed_before_it_can_be_right(lab: Lab) -> None:
    spec = {"clusterIP": "10.96.62.1", "ports": [{"port": 80, "targetPort": 8080}]}
    web = ServiceDefinition(spec=spec, slices=[["pod-b"]])
    node: dict[str, Any] = nodes()[0]
    unassigned = {**node, "spec": {}}
    async with serve_api(lab) as api:
        for manifest in (unassigned, service("web", web), *endpoint_slices("web", web)):
            api.apply(manifest)
        settings = configuration("nftables", {"detectLocalMode": "NodeCIDR"})
        async with run_proxy(lab, DEFAULT_PROXY["api"], settings, api.server, wait=False) as proxy:
            while "podCIDRs" not in proxy.process.output():
                assert proxy.process.returncode is None, proxy.process.output()
                assert not await proxy.syncs(0, 0.1)
            assert (await lab.probe("pod-x", "TCP", "10.96.62.1", 80, 0.3)).result is Result.TIMEOUT

            assigned = time.time()
            api.apply(node)
            await proxy.synced(assigned, which=min)
            assert (await lab.probe("pod-x", "TCP", "10.96.62.1", 80)).source == "10.244.1.50"
            assert (await lab.probe("ext", "TCP", "10.96.62.1", 80)).source == "10.244.1.1"
