"""What is read from a manifest, what is filled in, and on which line a mistake is."""

import json
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kproxy.services.objects import EndpointPort, EndpointSlice, KubeObject, Node, Service
from kproxy.sources.manifest_files import ManifestFile, parse_manifest

from .property_settings import patient


def parse(text: str, name: str = "a.yaml") -> ManifestFile:
    return parse_manifest(Path(name), text)


def only(found: ManifestFile) -> KubeObject:
    assert found.problems == []
    (obj,) = found.objects.values()
    return obj


def test_service_is_filled_in_as_the_api_server_would() -> None:
    found = only(
        parse(
            "apiVersion: v1\nkind: Service\nmetadata: {name: a, creationTimestamp: 2026-01-01T00:00:00Z}\n"
            "spec: {type: NodePort, clusterIP: 10.0.0.1, externalIPs: null, ports: [{port: 80, nodePort: 30080}]}"
        )
    )
    assert isinstance(found, Service)
    assert found.metadata.namespace == "default"
    assert found.metadata.creation_timestamp == "2026-01-01T00:00:00Z"
    assert found.spec.cluster_ips == ["10.0.0.1"]
    assert found.spec.ports is not None
    assert (found.spec.ports[0].protocol, found.spec.ports[0].name) == ("TCP", "")


def test_cluster_ip_is_the_first_of_several() -> None:
    found = only(
        parse("{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIPs: [10.0.0.1, 'fd00::1']}}")
    )
    assert isinstance(found, Service)
    assert found.spec.cluster_ip == "10.0.0.1"


@pytest.mark.parametrize(
    ("address", "kind"), [("10.0.0.1", "IPv4"), ("fd00::1", "IPv6"), ("db.example", "FQDN"), (None, "IPv4")]
)
def test_address_type_is_seen_from_the_addresses(address: str | None, kind: str) -> None:
    endpoints = [{"addresses": [address]}] if address else None
    content = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "s", "namespace": "n"},
        "endpoints": endpoints,
        "ports": [{"port": 80, "name": None, "protocol": None}],
    }
    found = only(parse(json.dumps(content), "a.json"))
    assert isinstance(found, EndpointSlice)
    assert found.address_type == kind
    assert found.ports == [EndpointPort(name="", port=80, protocol="TCP")]


def test_lists_of_every_sort() -> None:
    mixed = (
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Service, metadata: {name: a}}\n"
        "- {apiVersion: v1, kind: Node, metadata: {name: n}}\n- {apiVersion: apps/v1, kind: Deployment}\n---\n"
        "apiVersion: v1\nkind: ServiceList\nitems:\n- {metadata: {name: b}}\n---\n---\n# nothing\n"
    )
    found = parse(mixed)
    assert found.problems == []
    assert list(found.objects) == [(Service, "default", "a"), (Node, "", "n"), (Service, "default", "b")]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a: 1\n b: 2\n", 2, "mapping values are not allowed"),
        ("\n\nkind: Service\n", 3, "Service of apiVersion None"),
        ("---\n- 1\n", 2, "has no kind"),
        ("---\na: 1\n", 2, "has no kind"),
        ("apiVersion: v1\nkind: Service\nmetadata:\n  labels: {}\n", 4, "Object missing required field `name`"),
        ("apiVersion: v1\nkind: Service\nmetadata:\n  name: ''\n", 4, "without a name"),
        (
            (
                "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: a}\n"
                "  spec:\n    ports:\n    - port: 1\n      protocol: ICMP\n"
            ),
            10,
            "Invalid enum value 'ICMP' - at `$.spec.ports[0].protocol`",
        ),
        ("apiVersion: discovery.k8s.io/v1beta1\nkind: EndpointSlice\n", 1, "only discovery.k8s.io/v1 is read"),
        ("{apiVersion: v1, kind: Service, metadata: {name: a}}\n---\n" * 2, 3, "Service a a second time"),
        ("a: *nothing\n", 1, "undefined alias"),
        ("a: !!python/object:os.system {}\n", 1, "could not determine a constructor"),
        ("\x00", 1, "control characters are not allowed"),
    ],
)
def test_mistakes_have_lines(text: str, line: int, reason: str) -> None:
    (problem,) = parse(text).problems
    assert reason in problem.reason
    assert problem.line == line


def test_mistakes_in_json_have_lines() -> None:
    (problem,) = parse('{\n"kind":\n}', "a.json").problems
    assert problem.line == 3


@settings(patient, max_examples=100)
@example("[" * 5000)
@example("{kind: List, items: [[[{}]]]}")
@example("{kind: Service, apiVersion: v1, metadata: {name: a, namespace: [1]}, spec: {clusterIPs: {a: b}, ports: [1]}}")
@example("{kind: EndpointSlice, apiVersion: discovery.k8s.io/v1, endpoints: {0: {addresses: 1}}, ports: [[]]}")
@example("? {a: b}\n: 1")
@example("? [a, b]\n: 1")
@example("a: 9999-99-99\nkind: 1")
@given(st.text(alphabet="abkind:{}[]- \n\"'Service,&*!|>?#", max_size=60))
def test_no_text_is_a_crash(text: str) -> None:
    for name in ("a.yaml", "a.json"):
        found = parse(text, name)
        assert isinstance(found.objects, dict)
