"""A real Prometheus and a real proxy: its metrics are well-formed, and every rule and panel finds data in them.

KPROXY_LONG=1 makes them meet for a minute instead of some seconds.
"""

import asyncio
import itertools
import json
import math
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from kproxy.lab.process import start
from tests.daemon.node import Node, endpoint_slice, node, service
from tests.monitoring.conftest import DEPLOYED, Tools
from tests.monitoring.test_dashboard import MADE, all_panels
from tests.monitoring.test_rules import RULES

pytestmark = pytest.mark.root

LONG = bool(os.environ.get("KPROXY_LONG"))
SECONDS = 60 if LONG else 5
PATIENCE = 10
PORT = 9090

OF_OTHER_MODES = {
    "iptables rules",
    "Invalid packets dropped",
    "Open connections",
    "Connections refused",
    "Endpoints that failed",
}
NOTHING_TO_SHOW = {"Proxies down"}
"""While all are up."""

KUBE_PROXYS_NAMES = {
    "nftables": {"kubeproxy_sync_proxy_rules_no_local_endpoints_total"},
    "iptables": {
        "kubeproxy_sync_proxy_rules_no_local_endpoints_total",
        "kubeproxy_sync_proxy_rules_iptables_total",
    },
}
"""Gauges whose names kube-proxy lets end in _total; dashboards know them so."""


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Node]:
    async with Node(tmp_path) as made:
        made.store.apply(node())
        made.store.apply(service())
        made.store.apply(endpoint_slice("web", "10.244.1.1"))
        yield made


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
async def test_promtool_knows_only_kube_proxys_own_flaws(here: Node, tools: Tools, mode: str) -> None:
    async with here.proxy(mode=mode):
        await here.get("/healthz", 10256)
        _, text = await here.get("/metrics")
    assert 'kubeproxy_proxy_healthz_total{code="200"} 1.0' in text
    _, printed = await asyncio.to_thread(tools.promtool, "check", "metrics", text=text)
    complaints = {tuple(line.split(" ", 1)) for line in printed.splitlines()}
    expected = {(name, 'non-counter metrics should not have "_total" suffix') for name in KUBE_PROXYS_NAMES[mode]}
    assert complaints == expected


class Watched:
    """A proxy's metrics in a Prometheus."""

    def __init__(self, here: Node) -> None:
        self._here = here

    async def ask(self, path: str) -> Any:
        status, text = await self._here.get(path, PORT)
        answer = json.loads(text)
        assert status == 200, answer
        return answer["data"]

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """What the expression yields now, without what is not a number."""
        data = await self.ask(f"/api/v1/query?query={quote(expression)}")
        found: list[dict[str, Any]] = data["result"]
        return [sample for sample in found if not math.isnan(float(sample["value"][1]))]


@asynccontextmanager
async def watched(here: Node, tools: Tools, folder: Path) -> AsyncIterator[Watched]:
    """Run a Prometheus that scrapes each second, with the deployed rules evaluated as often."""
    rules = (DEPLOYED / "rules.yaml").read_text()
    (folder / "rules.yaml").write_text(rules.replace("interval: 30s", "interval: 1s"))
    config = {
        "global": {"scrape_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [{"job_name": "kproxy", "static_configs": [{"targets": ["127.0.0.1:10249"]}]}],
    }
    (folder / "prometheus.yaml").write_text(json.dumps(config))
    argv = [
        tools.prometheus,
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{PORT}",
    ]
    async with start(here.namespace, argv) as process:
        await here.eventually(lambda: "Server is ready to receive web requests" in process.output(), process)
        yield Watched(here)


async def change(here: Node) -> None:
    """Endpoints come and go, of TCP and of UDP; now and then something else spoils the rules."""
    ports = [{"name": "http", "port": 53, "targetPort": 53, "protocol": "UDP"}]
    here.store.apply(service("dns", ip="10.96.0.11", ports=ports))
    for number in itertools.count(1):
        annotations = {"endpoints.kubernetes.io/last-change-trigger-time": datetime.now(UTC).isoformat()}
        address = f"10.244.1.{1 + number % 200}"
        here.store.apply(endpoint_slice("web", address, annotations=annotations))
        here.store.apply(endpoint_slice("dns", address) | {"ports": [{"name": "http", "port": 53, "protocol": "UDP"}]})
        if number % 10 == 0:
            here.run("nft", "delete", "table", "ip", "kube-proxy")
        await here.get("/healthz", 10256)
        await asyncio.sleep(0.25)


def chosen(expression: str) -> str:
    """A panel's query as Grafana would send it."""
    return expression.replace("$__rate_interval", "20s").replace('"$job"', '".+"').replace('"$instance"', '".*"')


async def without_data(prometheus: Watched, queries: dict[str, str]) -> dict[str, str]:
    return {name: query for name, query in queries.items() if not await prometheus.query(query)}


async def test_every_rule_and_every_panel_finds_data(here: Node, tools: Tools, tmp_path: Path) -> None:
    panels = {
        f"{panel['title']} {target['refId']}": chosen(target["expr"])
        for panel in all_panels(MADE)
        if panel["title"] not in OF_OTHER_MODES | NOTHING_TO_SHOW
        for target in panel.get("targets", ())
    }
    recorded = {recording.record: recording.record for recording in RULES.recordings()}
    async with here.proxy(), watched(here, tools, tmp_path) as prometheus:
        changing = asyncio.create_task(change(here))
        await asyncio.sleep(SECONDS)
        missing = panels | recorded
        for _ in range(2 * PATIENCE):
            missing = await without_data(prometheus, missing)
            if not missing:
                break
            await asyncio.sleep(0.5)
        assert missing == {}
        assert changing.cancel(), changing.result()
        groups = (await prometheus.ask("/api/v1/rules"))["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert len(rules) == len(RULES.alerts()) + len(RULES.recordings())
        assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
        firing = {rule["name"] for rule in rules if rule.get("state") == "firing"}
        assert firing <= {"KubeProxyRulesDrift"}, "what the test does to the rules"
        assert firing or not LONG
        (slow,) = await prometheus.query("kube_proxy:network_programming_slow:ratio5m")
        assert float(slow["value"][1]) == 0


async def test_changes_from_before_the_proxys_start_are_not_its_delay(here: Node) -> None:
    """Each restart of a node would else spend the error budget on slices that changed hours ago."""
    old = datetime.fromtimestamp(time.time() - 3600, UTC).isoformat()
    slice_ = endpoint_slice("web", "10.244.1.9", annotations={"endpoints.kubernetes.io/last-change-trigger-time": old})
    here.store.apply(slice_)
    async with here.proxy():
        _, text = await here.get("/metrics")
    assert 'kubeproxy_network_programming_duration_seconds_count{ip_family="IPv4"} 0.0' in text
