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
    config: {}                         # fields of KubeProxyConfiguration

Clients are vantage points, `pods` (the node's own) or `all` (those, the node and ext), separated by blanks.
An answer is `rejected`, `timeout`, or the pods that answer by the source address they see: `own`, the
client's, or `node`, the one by which the node reaches that pod. A pod that reaches itself always sees the
node's. A step's rows replace earlier ones of the same client, address and port; all others still hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, cast

import msgspec

from kproxy.apiserver.patches.merge_patch import merge_patch
from kproxy.lab.kubernetes_objects import ServiceDefinition
from kproxy.lab.probe import Result, Transport
from kproxy.lab.topology import EXTERNAL, NODE, NODE_OF, PODS, VANTAGE_POINTS, address_of

LOCAL_PODS = tuple(pod.name for pod in NODE.pods)
CLIENT_GROUPS = {"pods": LOCAL_PODS, "all": (*LOCAL_PODS, NODE.name, EXTERNAL.name)}

Seen = Literal["own", "node"]
Failure = Literal["rejected", "timeout"]
Row = list[Any]


class ScenarioError(Exception):
    """A scenario file that cannot be used; the message says where it is wrong."""


@dataclass(frozen=True, order=True)
class Target:
    """Who asks whom."""

    client: str
    address: str
    port: int
    transport: Transport


@dataclass(frozen=True)
class Expectation:
    """How requests have to end: answered by exactly these pods, each seeing this source, or in one of these ways."""

    answers: frozenset[tuple[str, str]] = frozenset()
    failures: frozenset[Result] = frozenset()

    @property
    def pods(self) -> frozenset[str]:
        return frozenset(pod for pod, _ in self.answers)


Table = dict[Target, Expectation]


@dataclass(frozen=True)
class Phase:
    """A state of the cluster, and everything a packet meets in it."""

    name: str
    services: Mapping[str, ServiceDefinition]
    expect: Table


@dataclass(frozen=True)
class Scenario:
    name: str
    about: str
    config: Mapping[str, Any]
    phases: tuple[Phase, ...]


class _Step(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    services: dict[str, Any]
    expect: list[Row]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    about: str
    services: dict[str, Any]
    expect: list[Row]
    steps: list[_Step] = []
    config: dict[str, Any] = {}


def load_scenario(path: Path, mode: str) -> Scenario:
    """Read a scenario, with the rows that hold in one proxy mode.

    Raises:
        ScenarioError: the file is not a scenario.
        OSError: it cannot be read.
    """
    try:
        file = msgspec.yaml.decode(path.read_bytes(), type=_File)
        phases: list[Phase] = []
        definitions: dict[str, Any] = {}
        expect: Table = {}
        for step in (_Step("initial", file.services, file.expect), *file.steps):
            definitions = merge_patch(definitions, step.services)
            expect = {**expect, **_table(step.expect, mode)}
            services = msgspec.convert(definitions, dict[str, ServiceDefinition])
            phases.append(Phase(step.name, services, expect))
    except (msgspec.DecodeError, ValueError) as error:
        raise ScenarioError(f"{path}: {error}") from error
    return Scenario(path.stem, file.about, file.config, tuple(phases))


def _table(rows: list[Row], mode: str) -> Table:
    table: Table = {}
    for row in rows:
        try:
            clients, address, port, answer, *modes = row
            if modes and mode not in modes[0].split():
                continue
            number, transport = port.split("/")
            if transport not in ("TCP", "UDP"):
                raise ValueError(f"unknown protocol {transport}")
            version = ip_address(address).version
            for client in _clients(clients):
                target = Target(client, address, int(number), cast(Transport, transport))
                if target in table:
                    raise ValueError(f"a second row for {client}")
                table[target] = _expectation(client, version, answer)
        except (ValueError, AttributeError, TypeError) as error:
            raise ValueError(f"row {row}: {error}") from error
    return table


def _clients(names: str) -> list[str]:
    clients = [client for name in names.split() for client in CLIENT_GROUPS.get(name, (name,))]
    unknown = set(clients) - set(VANTAGE_POINTS)
    if unknown or not clients:
        raise ValueError(f"unknown clients {sorted(unknown) or names!r}")
    return clients


def _expectation(client: str, version: int, answer: str | dict[str, list[str]]) -> Expectation:
    if isinstance(answer, str):
        return Expectation(failures=frozenset([Result(msgspec.convert(answer, Failure))]))
    sources = msgspec.convert(answer, dict[Seen, list[str]])
    unknown = {pod for pods in sources.values() for pod in pods} - PODS.keys()
    if unknown or not sources:
        raise ValueError(f"unknown pods {sorted(unknown)}")
    return Expectation(
        frozenset((pod, _source(client, pod, seen, version)) for seen, pods in sources.items() for pod in pods)
    )


def _source(client: str, pod: str, seen: Seen, version: int) -> str:
    if seen == "own" and client not in (pod, NODE.name):
        return str(address_of(client, version))
    towards = NODE.bridge if NODE_OF[pod] is NODE else NODE.address
    return str(towards.of(version))
