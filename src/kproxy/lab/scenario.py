"""Scenarios: Services, what changes about them, and what a packet meets, in one YAML file each.

    about: one sentence
    services:                          # name: ServiceDefinition
      web: {spec: {...}, slices: [[pod-a, pod-c]]}
    expect:                            # [clients, address, port/protocol, answer, modes (all if left out)]
    - [pods, 10.96.0.10, 80/TCP, {own: [pod-a, pod-c]}]
    - [node ext, 10.96.0.10, 80/TCP, {node: [pod-a, pod-c]}]
    - [all, 10.96.0.10, 7/TCP, rejected, nftables]
    steps:
    - name: the Service loses its endpoints
      services: {web: {slices: []}}    # a merge patch (RFC 7386): null deletes
      expect:
      - [all, 10.96.0.10, 80/TCP, rejected]
    objects: {}                        # name: any other object as the API has it
    nodes: {}                          # name: a merge patch of that Node
    addresses: {}                      # address/prefix length: the node's interface that has it, besides its own
    health: {}                         # health check node port: how many of its Service's endpoints are on the node
    config: {}                         # fields of KubeProxyConfiguration; a step that changes them restarts the proxy

A step may have each of these sections; all but `expect` are merge patches of what was there before.

Clients are vantage points, `pods` (the node's own) or `all` (those, the node and ext), separated by blanks.
An answer is `rejected`, `timeout`, or the pods that answer by the source address they see: `own`, the
client's, `node`, the one by which the node reaches that pod, or `asked`, the one that the client asked, as in
IPVS mode, where the node has it on an interface. A pod that reaches itself always sees the node's. With
`{sticky: {own: [...]}}` one of the pods gives all answers, in later steps too as long as it is among those
expected. In its modes, a row that names some holds in place of one that names none. A step's rows replace
earlier ones of the same client, address and port; all others still hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import msgspec

from kproxy.apiserver.patches.merge_patch import merge_patch
from kproxy.lab.expectation import Row, Table, read_table
from kproxy.lab.kubernetes_objects import Manifest, ServiceDefinition, endpoint_slices, nodes, service
from kproxy.lab.topology import Interface

Key = tuple[str, str]
"""An object's kind and name."""


class ScenarioError(Exception):
    """A scenario file that cannot be used; the message says where it is wrong."""


@dataclass(frozen=True)
class Phase:
    """A state of the cluster, and everything a packet meets in it."""

    name: str
    services: Mapping[str, ServiceDefinition]
    manifests: Mapping[Key, Manifest]
    """Every object: Nodes, Services, their EndpointSlices, and others."""
    addresses: Mapping[Interface, str]
    """What the node's interfaces have besides their own, by interface."""
    config: Mapping[str, Any]
    health: Mapping[int, int]
    """How many endpoints on the node each health check node port reports."""
    expect: Table


@dataclass(frozen=True)
class Scenario:
    name: str
    about: str
    phases: tuple[Phase, ...]


class _State(msgspec.Struct, forbid_unknown_fields=True):
    """The cluster, as far as a file describes it."""

    services: dict[str, Any] = {}
    objects: dict[str, Any] = {}
    nodes: dict[str, Any] = {}
    addresses: dict[str, str | None] = {}
    health: dict[int, int | None] = {}
    config: dict[str, Any] = {}

    def patched(self, patch: "_State") -> "_State":
        merged = merge_patch(_sections(self), _sections(patch))
        # In a Node's patch null deletes a field of the Node, which this file does not have.
        return msgspec.convert({**merged, "nodes": _joined(self.nodes, patch.nodes)}, _State)


class _Step(_State, forbid_unknown_fields=True, kw_only=True):
    name: str
    expect: list[Row]


class _File(_State, forbid_unknown_fields=True, kw_only=True):
    about: str
    expect: list[Row]
    steps: list[_Step] = []


def load_scenario(path: Path, mode: str) -> Scenario:
    """Read a scenario, with the rows that hold in one proxy mode.

    Raises:
        ScenarioError: the file is not a scenario.
        OSError: it cannot be read.
    """
    try:
        file = msgspec.yaml.decode(path.read_bytes(), type=_File)
        phases: list[Phase] = []
        state, expect = _State(), Table()
        steps: list[tuple[str, _File | _Step]] = [("initial", file), *((step.name, step) for step in file.steps)]
        for name, step in steps:
            state = state.patched(step)
            expect = {**expect, **read_table(step.expect, mode)}
            phases.append(_phase(name, state, expect))
    except (msgspec.DecodeError, ValueError, KeyError) as error:
        raise ScenarioError(f"{path}: {error}") from error
    return Scenario(path.stem, file.about, tuple(phases))


def _phase(name: str, state: _State, expect: Table) -> Phase:
    services = msgspec.convert(state.services, dict[str, ServiceDefinition])
    objects = [merge_patch(node, state.nodes.get(node["metadata"]["name"], {})) for node in nodes()]
    for service_name, definition in services.items():
        objects += [service(service_name, definition), *endpoint_slices(service_name, definition)]
    for object_name, manifest in state.objects.items():
        metadata = {"namespace": "default", **manifest.get("metadata", {}), "name": object_name}
        objects.append({**manifest, "metadata": metadata})
    addresses = {ip_interface(address): link for address, link in state.addresses.items() if link is not None}
    manifests = {(each["kind"], each["metadata"]["name"]): each for each in objects}
    health = {port: count for port, count in state.health.items() if count is not None}
    return Phase(name, services, manifests, addresses, state.config, health, expect)


def _sections(state: _State) -> dict[str, Any]:
    return {field: getattr(state, field) for field in _State.__struct_fields__}


def _joined(first: Any, second: Any) -> Any:
    """Two merge patches as one."""
    if not (isinstance(first, dict) and isinstance(second, dict)):
        return second
    return {**first, **{key: _joined(first.get(key), value) for key, value in second.items()}}
