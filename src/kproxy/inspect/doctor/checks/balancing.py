"""Are connections spread evenly?"""

import math
from collections import Counter
from collections.abc import Iterator

from kproxy.inspect.doctor.finding import Finding, Severity, kubectl_patch, shell
from kproxy.inspect.doctor.supervision import configuration_advice
from kproxy.inspect.doctor.view import NodeView
from kproxy.kernel.conntrack.table import ConntrackTable
from kproxy.services.addresses import Address, Family, format_address
from kproxy.services.balancing import Algorithm
from kproxy.services.model import Endpoint, ServicePort

_LEAST_PER_ENDPOINT = 20
"""Connections that a judgement needs."""
_IMPROBABLE = 6.0
"""Standard deviations beyond what chance explains."""
_NOTICEABLE = 1.5
"""The busiest endpoint's share, in shares that are even."""
_EVEN = (Algorithm.RANDOM, Algorithm.ROUND_ROBIN)


def uneven(view: NodeView) -> Iterator[Finding]:
    """One endpoint has far more connections than chance gives it."""
    ports = {
        (port.cluster_ip, port.port): port
        for port in view.ports()
        if port.protocol == "TCP" and port.internal_endpoints
    }
    if not ports:
        return
    counted: dict[tuple[Address, int], Counter[bytes]] = {}
    table = ConntrackTable()
    try:
        for family in Family:
            for flow in table.flows(family, "TCP"):
                if (flow.address, flow.port) in ports:
                    counted.setdefault((flow.address, flow.port), Counter())[flow.backend] += 1
    finally:
        table.close()
    for key, by_backend in counted.items():
        port = ports[key]
        numbers = [by_backend[_backend(endpoint)] for endpoint in port.internal_endpoints]
        if is_uneven(numbers):
            yield _describe(view, port, numbers)


def _backend(endpoint: Endpoint) -> bytes:
    return endpoint.address + endpoint.port.to_bytes(2, "big")


def is_uneven(numbers: list[int]) -> bool:
    """Whether counts of connections are further apart than chance brings them (Pearson's chi-square test)."""
    total, kinds = sum(numbers), len(numbers)
    if kinds < 2 or total < _LEAST_PER_ENDPOINT * kinds:
        return False
    expected = total / kinds
    chi_square = sum((number - expected) ** 2 for number in numbers) / expected
    freedom = kinds - 1
    return (chi_square - freedom) / math.sqrt(2 * freedom) > _IMPROBABLE and max(numbers) > _NOTICEABLE * expected


def _describe(view: NodeView, port: ServicePort, numbers: list[int]) -> Finding:
    shown = tuple(
        f"{format_address(endpoint.address)}:{endpoint.port} has {number} of {sum(numbers)} connections"
        for endpoint, number in sorted(zip(port.internal_endpoints, numbers, strict=True), key=lambda p: -p[1])[:5]
    )
    namespace, name = port.service
    advice = "Connections that are open stay where they are until they end."
    if port.affinity_seconds:
        evidence = f"sessionAffinity is ClientIP, for {port.affinity_seconds} s"
        cause = "Clients stay with their endpoint, and few clients make most connections."
        change: dict[str, object] = {"op": "replace", "path": "/spec/sessionAffinity", "value": "None"}
        fixes = [kubectl_patch("service", namespace, name, [change])]
    elif port.algorithm not in _EVEN:
        evidence = f"balanced by {port.algorithm.value}"
        cause = "The chosen algorithm does not spread connections evenly."
        fixes = [shell("kubectl", "-n", namespace, "annotate", "service", name, "kproxy/balancing-")]
    else:
        evidence = "no session affinity"
        cause = "Long-lived connections stay where they were made: endpoints that came later have few."
        fixes = []
        advice = "Have clients or servers close connections now and then."
        if view.mode == "ipvs":
            advice += " " + configuration_advice(view, "ipvs.scheduler to lc (least connections)")
    return Finding(
        check="uneven-balancing",
        severity=Severity.WARNING,
        subject=f"Service {port} ({port.family.value})",
        service=str(port.service),
        evidence=(*shown, evidence),
        cause=cause,
        fixes=tuple(fixes),
        advice=advice,
    )
