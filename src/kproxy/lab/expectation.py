"""Who asks whom, and how that has to end: the rows of a scenario's tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Literal, cast

import msgspec

from kproxy.lab.probe import Result, Transport
from kproxy.lab.topology import EXTERNAL, NODE, NODE_OF, PODS, VANTAGE_POINTS, Address, address_of

LOCAL_PODS = tuple(pod.name for pod in NODE.pods)
CLIENT_GROUPS = {"pods": LOCAL_PODS, "all": (*LOCAL_PODS, NODE.name, EXTERNAL.name)}

Seen = Literal["own", "node", "asked"]
"""The source address that a pod sees: the client's, the one by which the node reaches that pod, or the one asked.

A node that has a Service's address on an interface, as in IPVS mode, sends to it with that same address.
"""
Failure = Literal["rejected", "timeout"]
Row = list[Any]


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
    sticky: bool = False
    """Whether one of the pods gives all answers: the one that did before, as long as it is among them."""

    @property
    def pods(self) -> frozenset[str]:
        return frozenset(pod for pod, _ in self.answers)


Table = dict[Target, Expectation]


def read_table(rows: Sequence[Row], mode: str) -> Table:
    """The rows that hold in a proxy mode: those that name it, and of the others those that none of these replaces.

    Raises:
        ValueError: a row is none; the message quotes it.
    """
    tables: tuple[Table, Table] = {}, {}
    for row in rows:
        try:
            clients, address, port, answer, *modes = row
            if modes and mode not in modes[0].split():
                continue
            number, transport = port.split("/")
            if transport not in ("TCP", "UDP"):
                raise ValueError(f"unknown protocol {transport}")
            table = tables[bool(modes)]
            for client in _clients(clients):
                target = Target(client, address, int(number), cast(Transport, transport))
                if target in table:
                    raise ValueError(f"a second row for {client}")
                table[target] = _expectation(client, ip_address(address), answer)
        except (ValueError, AttributeError, TypeError) as error:
            raise ValueError(f"row {row}: {error}") from error
    return {**tables[False], **tables[True]}


def answered(
    client: str, version: int, sources: Mapping[Seen, Sequence[str]], *, sticky: bool = False, asked: str = ""
) -> Expectation:
    """Expect answers from pods, given by the source that they are to see.

    Args:
        client: the vantage point that asks.
        version: 4 or 6.
        sources: pods, by what they see.
        sticky: see `Expectation.sticky`.
        asked: the address that is asked, in the form in which a server tells it; for sources that are it.
    """
    pairs = (
        (pod, asked if seen == "asked" else _source(client, pod, seen, version))
        for seen, pods in sources.items()
        for pod in pods
    )
    return Expectation(frozenset(pairs), sticky=sticky)


def failed(result: Result) -> Expectation:
    return Expectation(failures=frozenset([result]))


def _clients(names: str) -> list[str]:
    clients = [client for name in names.split() for client in CLIENT_GROUPS.get(name, (name,))]
    unknown = set(clients) - set(VANTAGE_POINTS)
    if unknown or not clients:
        raise ValueError(f"unknown clients {sorted(unknown) or names!r}")
    return clients


def _expectation(client: str, address: Address, answer: str | dict[str, Any]) -> Expectation:
    if isinstance(answer, str):
        return failed(Result(msgspec.convert(answer, Failure)))
    sticky = "sticky" in answer
    sources = msgspec.convert(answer["sticky"] if sticky else answer, dict[Seen, list[str]])
    unknown = {pod for pods in sources.values() for pod in pods} - PODS.keys()
    if unknown or not sources or (sticky and len(answer) > 1):
        raise ValueError(f"unknown pods {sorted(unknown)}" if unknown else "no answer")
    return answered(client, address.version, sources, sticky=sticky, asked=str(address))


def _source(client: str, pod: str, seen: Seen, version: int) -> str:
    if seen == "own" and client not in (pod, NODE.name):
        return str(address_of(client, version))
    towards = NODE.bridge if NODE_OF[pod] is NODE else NODE.address
    return str(towards.of(version))
