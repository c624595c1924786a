"""The real kubectl against the server, without special flags."""

import asyncio
import json
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from kproxy.apiserver import ApiServer, Store
from kproxy.apiserver.resources import SERVICES
from tests.apiserver.builders import endpoint_slice, service
from tests.apiserver.kubectl import Kubectl

MANIFEST = """
apiVersion: v1
kind: Service
metadata: {name: web, labels: {app: web}}
spec:
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: 8080}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints:
- addresses: [10.1.0.1]
---
apiVersion: v1
kind: Node
metadata: {name: node-a}
spec: {podCIDR: 10.1.0.0/24}
"""


def rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines()]


async def test_version_and_discovery(kubectl: Kubectl) -> None:
    assert "36" in await kubectl("version")
    assert {row[0] for row in rows(await kubectl("api-resources"))} >= {"services", "endpointslices", "nodes"}


async def test_apply_again_and_again(kubectl: Kubectl, store: Store) -> None:
    out = await kubectl("apply", "-f", "-", stdin=MANIFEST)
    assert out.split() == [
        *("service/web", "created"),
        *("endpointslice.discovery.k8s.io/web-1", "created"),
        *("node/node-a", "created"),
    ]
    before = store.resource_version
    again = await kubectl("apply", "-f", "-", stdin=MANIFEST)
    assert "service/web unchanged" in again
    assert store.resource_version == before
    changed = MANIFEST.replace("port: 80,", "port: 81,").replace("{app: web}}", "{tier: front}}")
    assert "service/web configured" in await kubectl("apply", "-f", "-", stdin=changed)
    obj = store.get(SERVICES, "default", "web").decode()
    assert [port["port"] for port in obj["spec"]["ports"]] == [81]
    assert obj["metadata"]["labels"] == {"tier": "front"}


async def test_tables(kubectl: Kubectl, store: Store) -> None:
    store.apply(service(type="NodePort", selector={"app": "web"}))
    store.apply(service("web", namespace="shop"))
    store.apply(endpoint_slice())
    store.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"}})
    header, row = rows(await kubectl("get", "svc"))
    assert header == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]
    assert row[:5] == ["web", "NodePort", "10.96.1.1", "<none>", "80:30000/TCP"]
    assert rows(await kubectl("get", "svc", "-o", "wide"))[1][-1] == "app=web"
    everywhere = rows(await kubectl("get", "svc", "--all-namespaces"))
    assert [row[:2] for row in everywhere] == [["NAMESPACE", "NAME"], ["default", "web"], ["shop", "web"]]
    assert rows(await kubectl("get", "endpointslices"))[1][:4] == ["web-1", "IPv4", "8080", "10.1.0.1"]
    assert rows(await kubectl("get", "nodes"))[1][:3] == ["node-a", "Unknown", "<none>"]
    assert rows(await kubectl("get", "svc", "web", "--no-headers"))[0][0] == "web"


async def test_yaml_json_and_selectors(kubectl: Kubectl, store: Store) -> None:
    store.apply(service("a", labels={"tier": "web"}))
    store.apply(service("b"))
    body = json.loads(await kubectl("get", "svc", "-o", "json"))
    assert [(item["kind"], item["metadata"]["name"]) for item in body["items"]] == [("Service", "a"), ("Service", "b")]
    assert "clusterIP: 10.96.1.1" in await kubectl("get", "svc", "a", "-o", "yaml")
    for arguments, found in (
        (("-l", "tier=web"), "service/a"),
        (("-l", "!tier"), "service/b"),
        (("-l", "tier notin (web)"), "service/b"),
        (("--field-selector", "metadata.name!=a"), "service/b"),
        (("--field-selector", "spec.type=ClusterIP", "-l", "tier in (web, db)"), "service/a"),
    ):
        assert (await kubectl("get", "svc", "-o", "name", *arguments)).split() == [found]


async def test_get_watch(kubectl: Kubectl, store: Store) -> None:
    store.apply(service("a"))
    process = await kubectl.start("get", "svc", "-w")
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            await process.stdout.readline()
            assert (await process.stdout.readline()).startswith(b"a ")
            store.apply(service("b", type="NodePort"))
            assert (await process.stdout.readline()).split()[:2] == [b"b", b"NodePort"]
            store.apply(service("b", type="NodePort", externalIPs=["192.0.2.1"]))
            assert (await process.stdout.readline()).split()[3] == b"192.0.2.1"
            store.delete("Service", "a")
            assert (await process.stdout.readline()).startswith(b"a ")
    finally:
        process.terminate()
        await process.wait()


async def test_patch_label_annotate_replace_delete(kubectl: Kubectl, store: Store) -> None:
    await kubectl("apply", "-f", "-", stdin=MANIFEST)
    await kubectl("patch", "svc", "web", "-p", '{"spec":{"ports":[{"port":80,"targetPort":9090}]}}')
    await kubectl("patch", "svc", "web", "--type=merge", "-p", '{"spec":{"sessionAffinity":"ClientIP"}}')
    add = '[{"op":"add","path":"/spec/externalIPs","value":["192.0.2.1"]}]'
    await kubectl("patch", "svc", "web", "--type=json", "-p", add)
    await kubectl("label", "svc", "web", "tier=front", "app-")
    await kubectl("annotate", "node", "node-a", "note=hello")
    obj = store.get(SERVICES, "default", "web").decode()
    assert obj["spec"]["ports"][0]["targetPort"] == 9090
    assert obj["spec"]["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
    assert obj["spec"]["externalIPs"] == ["192.0.2.1"]
    assert obj["metadata"]["labels"] == {"tier": "front"}
    text = await kubectl("get", "svc", "web", "-o", "yaml")
    assert "replaced" in await kubectl("replace", "-f", "-", stdin=text.replace("192.0.2.1", "192.0.2.2"))
    stale = await kubectl.run("replace", "-f", "-", stdin=text)
    assert stale.code == 1
    assert "the object has been modified" in stale.err
    assert 'service "web" deleted' in await kubectl("delete", "svc", "web")
    gone = await kubectl.run("get", "svc", "web")
    assert (gone.code, gone.err.strip()) == (1, 'Error from server (NotFound): services "web" not found')


async def test_create_namespace_and_service(kubectl: Kubectl, store: Store) -> None:
    """These are typed requests, which newer versions send as protobuf."""
    await kubectl("create", "namespace", "shop")
    await kubectl("create", "service", "clusterip", "web", "--tcp=80:8080", "-n", "shop")
    assert store.get(SERVICES, "shop", "web").decode()["spec"]["ports"] == [
        {"name": "80-8080", "protocol": "TCP", "port": 80, "targetPort": 8080}
    ]
    assert "Selector:" in await kubectl("describe", "svc", "web", "-n", "shop")
    await kubectl("delete", "namespace", "shop")
    assert len(store.collection(SERVICES)) == 0


async def test_refusals_say_what_is_wrong(kubectl: Kubectl) -> None:
    bad = await kubectl.run("apply", "-f", "-", stdin=MANIFEST.replace("port: 80,", "port: 0,"))
    assert bad.code == 1
    assert 'The Service "web" is invalid: spec.ports[0].port: Invalid value: 0: must be between 1 and 65535' in bad.err
    missing = await kubectl.run("create", "-n", "nowhere", "-f", "-", stdin=json.dumps(service(namespace="nowhere")))
    assert 'namespaces "nowhere" not found' in missing.err


async def test_server_side_apply(kubectl: Kubectl, store: Store) -> None:
    text = json.dumps(service(selector={"app": "web"}))
    assert "serverside-applied" in await kubectl("apply", "--server-side", "-f", "-", stdin=text)
    other = json.dumps(service(selector={"app": "other"}))
    refused = await kubectl.run("apply", "--server-side", "--field-manager=other", "-f", "-", stdin=other)
    assert ".spec.selector" in refused.err
    await kubectl("apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-", stdin=other)
    assert store.get(SERVICES, "default", "web").decode()["spec"]["selector"] == {"app": "other"}


@pytest.mark.parametrize(("token", "code"), [("secret", 0), ("wrong", 1)])
async def test_a_token(
    kubectl_for: Callable[..., Kubectl], certificate: Path, tls: ssl.SSLContext, token: str, code: int
) -> None:
    """Over TLS: Go clients keep their tokens to themselves on plain HTTP."""
    async with ApiServer(ssl_context=tls, token="secret") as server:
        kubectl = kubectl_for(server, token=token, certificate_authority=certificate)
        outcome = await kubectl.run("get", "ns", "-o", "name")
        assert outcome.code == code
        assert ("namespace/default" in outcome.out) == (code == 0)
