"""`kube-proxy` as an operator runs it: a process, a real kernel, a real API over HTTP."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kproxy.lab.process import start
from tests.daemon.node import BIN, Node, endpoint_slice, node, service

pytestmark = pytest.mark.root


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Node]:
    async with Node(tmp_path) as made:
        made.store.apply(node())
        made.store.apply(service())
        made.store.apply(endpoint_slice("web", "10.244.1.1", "10.244.1.2"))
        yield made


async def test_it_programs_what_the_api_says_and_follows_it(here: Node) -> None:
    async with here.proxy():
        assert "10.96.0.10 . tcp . 80 . 0x00000001 : 10.244.1.2 . 8080" in here.table()
        here.store.apply(endpoint_slice("web", "10.244.1.3"))
        await here.eventually(lambda: "10.244.1.3" in here.table())
        assert "10.244.1.2" not in here.table()
        here.store.apply(service("api", "10.96.0.11"))
        await here.eventually(lambda: "10.96.0.11" in here.table())
        here.store.delete("Service", "web")
        await here.eventually(lambda: "10.96.0.10" not in here.table())


async def test_sigterm_ends_it_and_leaves_the_rules(here: Node) -> None:
    async with here.proxy() as process:
        before = here.table()
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert here.table() == before
    assert "10.244.1.1" in before


async def test_a_restart_after_sigkill_changes_nothing(here: Node) -> None:
    async with here.proxy() as process:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    generation = here.nft.generation()
    async with here.proxy():
        assert here.nft.generation() == generation


async def test_a_restart_catches_up_with_what_happened_meanwhile(here: Node) -> None:
    async with here.proxy():
        pass
    generation = here.nft.generation()
    here.store.apply(endpoint_slice("web", "10.244.1.1", "10.244.1.9"))
    async with here.proxy():
        assert "10.244.1.9" in here.table()
        assert here.nft.generation() == generation + 1


@pytest.mark.parametrize(
    "tampering",
    ["delete table ip kube-proxy", "flush chain ip kube-proxy services", "flush ruleset"],
)
async def test_what_somebody_else_removes_is_back_within_a_second(here: Node, tampering: str) -> None:
    async with here.proxy() as process:
        before = here.table()
        here.run("nft", *tampering.split())
        async with asyncio.timeout(1.0):
            await here.eventually(lambda: here.table() == before)
        assert process.output().count("Somebody else changed") == 1


async def test_health_and_metrics(here: Node) -> None:
    async with here.proxy(mode="nftables"):
        status, body = await here.get("/healthz", 10256)
        report = json.loads(body)
        assert status == 200
        assert list(report) == ["lastUpdated", "currentTime", "nodeEligible", "healthy", "status"]
        assert report["status"].keys() == {"IPv4", "IPv6"}
        assert (await here.get("/livez", 10256))[0] == 200
        assert await here.get("/proxyMode") == (200, "nftables")
        status, body = await here.get("/configz")
        assert json.loads(body)["kubeproxy.config.k8s.io"]["hostnameOverride"] == "here"
        _, metrics = await here.get("/metrics")
        for family in ("IPv4", "IPv6"):
            name = "kubeproxy_sync_proxy_rules_last_timestamp_seconds"
            assert re.search(rf'^{name}{{ip_family="{family}"}} 1\.\d+e\+09$', metrics, re.MULTILINE)
            name = "kubeproxy_sync_full_proxy_rules_duration_seconds_count"
            assert f'{name}{{ip_family="{family}"}} 1.0' in metrics
        assert 'rest_client_requests_total{code="200"' in metrics


async def test_stale_flows_are_deleted_and_counted(here: Node) -> None:
    here.store.apply(service("dns", "10.96.0.53", ports=[{"name": "dns", "port": 53, "protocol": "UDP"}]))
    stale = "-I -p udp -s 192.0.2.1 -d 10.96.0.53 --sport 40000 --dport 53 -r 10.244.1.99 -q 192.0.2.1"
    here.run("conntrack", *stale.split(), "--reply-port-src", "5353", "--reply-port-dst", "40000", "-t", "60")
    async with here.proxy():
        made = endpoint_slice("dns", "10.244.1.9")
        made["ports"] = [{"name": "dns", "port": 5353, "protocol": "UDP"}]
        here.store.apply(made)
        await here.eventually(lambda: "dport=53" not in here.run("conntrack", "-L", "-p", "udp"))
        async with asyncio.timeout(5):
            counted = 'kubeproxy_conntrack_reconciler_deleted_entries_total{ip_family="IPv4"} 1.0'
            while counted not in (await here.get("/metrics"))[1]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def test_iptables_mode_counts_its_rules_and_packets(here: Node) -> None:
    async with here.proxy(mode="iptables"):
        _, metrics = await here.get("/metrics")
        for name in ('total{ip_family="IPv4",table="nat"}', 'last{ip_family="IPv4",table="filter"}'):
            assert re.search(rf"^kubeproxy_sync_proxy_rules_iptables_{name} [1-9]", metrics, re.MULTILINE)
        assert "kubeproxy_iptables_ct_state_invalid_dropped_packets_total 0.0" in metrics
        assert "kubeproxy_iptables_localhost_nodeports_accepted_packets_total 0.0" in metrics
        here.run("iptables", "-t", "nat", "-F")
        await here.eventually(lambda: "KUBE-SVC-" in here.run("iptables-save", "-t", "nat"))


async def test_a_node_about_to_be_deleted_is_not_eligible_but_alive(here: Node) -> None:
    async with here.proxy():
        taint = {"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}
        here.store.apply(node(taints=[taint]))
        async with asyncio.timeout(5):
            while (await here.get("/healthz", 10256))[0] != 503:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert (await here.get("/livez", 10256))[0] == 200


async def test_the_api_may_go_away_and_come_back(here: Node) -> None:
    async with here.proxy() as process:
        before = here.table()
        await here.stop_api()
        here.store.apply(endpoint_slice("web", "10.244.1.7"))
        assert here.table() == before
        await here.start_api()
        await here.eventually(lambda: "10.244.1.7" in here.table(), process)


async def test_node_ports_follow_the_nodes_addresses(here: Node) -> None:
    ports = [{"name": "http", "port": 80, "nodePort": 30080}]
    here.store.apply(service(type="NodePort", ports=ports))
    async with here.proxy(nodePortAddresses=["192.0.2.0/24"]):
        assert re.search(r"set nodeport-ips {[^}]*elements = { 192\.0\.2\.1 }", here.table())
        here.run("ip", "addr", "add", "192.0.2.7/32", "dev", "lo")
        await here.eventually(lambda: "192.0.2.1, 192.0.2.7" in here.table() or "192.0.2.7, 192.0.2.1" in here.table())
        here.run("ip", "addr", "del", "192.0.2.1/32", "dev", "lo")
        await here.eventually(lambda: re.search(r"elements = { 192\.0\.2\.7 }", here.table()))


async def test_node_cidr_mode_waits_for_the_pod_cidr_and_follows_it(here: Node) -> None:
    argv = [str(BIN / "kube-proxy"), "--config", here.configuration(detectLocalMode="NodeCIDR", clusterCIDR="")]
    async with start(here.namespace, argv) as process:
        await here.eventually(lambda: "Waiting for podCIDRs" in process.output(), process)
        assert "No such file" in here.table()
        here.store.apply(node(podCIDR="10.244.1.0/24", podCIDRs=["10.244.1.0/24"]))
        await here.eventually(lambda: "ip saddr != 10.244.1.0/24" in here.table(), process)
        here.store.delete("Node", "here")
        here.store.apply(node(podCIDR="10.244.9.0/24", podCIDRs=["10.244.9.0/24"]))
        await here.eventually(lambda: "ip saddr != 10.244.9.0/24" in here.table(), process)
        assert "10.244.1.1" in here.table()


async def test_cleanup_removes_the_tables(here: Node) -> None:
    async with here.proxy():
        pass
    assert here.run(str(BIN / "kube-proxy"), "--cleanup").splitlines() == [
        "removed table ip kube-proxy",
        "removed table ip6 kube-proxy",
    ]
    assert here.run("nft", "list", "tables") == ""


async def test_without_the_capability_one_line_says_so(here: Node) -> None:
    argv = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin", str(BIN / "kube-proxy")]
    shown = here.run(*argv, "--config", here.configuration(), check=False)
    assert "no permission to use nf_tables: run as root, or with the capability NET_ADMIN" in shown
    assert "Traceback" not in shown
    assert [line for line in shown.splitlines() if not line.startswith("I")] == [shown.splitlines()[-1]]


async def test_a_bad_object_is_left_out_and_named(here: Node) -> None:
    here.store.apply(endpoint_slice("web", "10.244.1.1"))
    manifests = here.folder / "manifests"
    manifests.mkdir()
    (manifests / "a.yaml").write_text(
        json.dumps(service(externalIPs=["203.0.113.1"])) + "\n---\n" + json.dumps(service("bad", "10.96.0.999"))
    )
    argv = [str(BIN / "kproxy"), "run", "--manifests", str(manifests), "--node-name", "here"]
    async with start(here.namespace, argv) as process:
        await here.eventually(lambda: "203.0.113.1" in here.table(), process)
        assert "Left out: Service default/bad: spec.clusterIPs: '10.96.0.999' is not an IP address" in process.output()


async def test_an_unknown_balancing_algorithm_is_a_warning_event_on_the_service(here: Node) -> None:
    made = service("odd", "10.96.0.12")
    made["metadata"]["annotations"] = {"kproxy/balancing": "fairest"}
    here.store.apply(made)
    async with here.proxy() as process:
        assert "10.96.0.12" in here.table(), "it is ignored, not refused"

        def events() -> list[dict[str, Any]]:
            found = [stored.decode() for resource, stored in here.store.snapshot() if resource.kind == "Event"]
            return [event for event in found if event["involvedObject"]["kind"] == "Service"]

        await here.eventually(events, process)
        (event,) = events()
        assert event["type"] == "Warning"
        assert event["involvedObject"]["name"] == "odd"
        assert event["involvedObject"]["uid"]
        assert "'fairest' is none of random, round-robin, source-hash" in event["message"]


async def test_health_check_ports_tell_of_local_endpoints(here: Node) -> None:
    ports = [{"name": "http", "port": 80, "nodePort": 30080}]
    local: dict[str, Any] = {"externalTrafficPolicy": "Local", "healthCheckNodePort": 31000}
    here.store.apply(service(type="LoadBalancer", ports=ports, **local))
    async with here.proxy(nodePortAddresses=["127.0.0.0/8", "192.0.2.0/24"]):

        async def local_endpoints() -> tuple[int, int]:
            status, body = await here.get("/", 31000, "192.0.2.1")
            return status, json.loads(body)["localEndpoints"]

        await here.eventually(lambda: ":31000" in here.run("ss", "-tln"))
        assert await local_endpoints() == (200, 2)
        here.store.apply(endpoint_slice("web"))
        await here.eventually(lambda: "rejected-services" in here.table() and "10.244.1.1" not in here.table())
        assert await local_endpoints() == (503, 0)


async def test_manifests_are_followed(here: Node) -> None:
    manifests = here.folder / "manifests"
    manifests.mkdir()
    (manifests / "service.yaml").write_text(json.dumps(service("local", "10.96.7.7")))
    (manifests / "endpoints.yaml").write_text(json.dumps(endpoint_slice("local", "10.0.0.1")))
    argv = [str(BIN / "kproxy"), "run", "--manifests", str(manifests)]
    async with start(here.namespace, argv) as process:
        await here.eventually(lambda: "10.96.7.7 . tcp . 80 . 0x00000000 : 10.0.0.1 . 8080" in here.table(), process)
        (manifests / "endpoints.yaml").write_text(json.dumps(endpoint_slice("local", "10.0.0.2")))
        await here.eventually(lambda: "10.0.0.2" in here.table(), process)
        assert "10.0.0.1" not in here.table()
        (manifests / "service.yaml").unlink()
        await here.eventually(lambda: "10.96.7.7" not in here.table(), process)


async def test_a_misspelt_field_is_named_with_its_line(here: Node) -> None:
    path = here.folder / "bad.yaml"
    path.write_text("apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmodes: nftables\n")
    shown = here.run(str(BIN / "kube-proxy"), "--config", str(path), check=False)
    assert re.search(r'bad\.yaml:3: modes: .*did you mean "mode"\?', shown)
