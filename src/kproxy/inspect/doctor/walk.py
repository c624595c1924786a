"""One Service, followed from its name to its pods, as a client's connection would go."""

import enum
import socket
import time
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from kproxy.inspect.detection.footprints import Owner
from kproxy.inspect.doctor.checks.service_endpoints import find
from kproxy.inspect.doctor.dns import describe, name_servers, resolve
from kproxy.inspect.doctor.finding import Finding, Severity, shell
from kproxy.inspect.doctor.rules import rules_hold
from kproxy.inspect.doctor.supervision import restart
from kproxy.inspect.doctor.view import NodeView
from kproxy.services.addresses import Address, format_address, parse_address
from kproxy.services.model import Endpoint, ServiceName, ServicePort, Verdict

_CONNECT_SECONDS = 2.0
_TRIED = 5
"""Endpoints that are connected to, of each port."""
_DNS_SERVICES = (("kube-system", "kube-dns"), ("kube-system", "coredns"), ("kube-system", "rke2-coredns-rke2-coredns"))


class Result(enum.StrEnum):
    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Cannot be told from here; the detail says why."""


class Step(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One stretch of the way."""

    step: str
    result: Result
    detail: str
    fixes: tuple[str, ...] = ()
    """Commands that mend it."""
    advice: str = ""


class Walk(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The whole way."""

    service: str
    steps: tuple[Step, ...]
    findings: tuple[Finding, ...] = ()
    """What the checks have found out about this Service."""

    @property
    def fine(self) -> bool:
        """Nothing fails, and nothing was found that is more than a note."""
        failed = any(step.result is Result.FAILED for step in self.steps)
        return not failed and all(finding.severity is Severity.NOTE for finding in self.findings)


class _Connection(NamedTuple):
    error: str
    milliseconds: float


def walk(view: NodeView, name: ServiceName, *, domain: str = "cluster.local") -> Walk:
    """Follow a Service; blocks for as long as its connections take.

    Args:
        view: the node to start from
        name: the Service
        domain: the cluster's DNS domain
    """
    return Walk(service=str(name), steps=tuple(_steps(view, name, domain)))


def _steps(view: NodeView, name: ServiceName, domain: str) -> Iterator[Step]:
    ports = view.ports_of(name)
    yield _exists(view, name, ports)
    if not ports:
        return
    addresses = sorted({port.cluster_ip for port in ports})
    yield from _dns(view, name, addresses, domain)
    for port in ports:
        label = f"{format_address(port.cluster_ip)}:{port.port}/{port.protocol}"
        yield _endpoints(port, label, view.node)
        yield rules_step(view, port, label)
        if port.protocol != "TCP":
            yield Step(
                step=f"connect to {label}",
                result=Result.SKIPPED,
                detail=f"{port.protocol} has no connection that could be tried without speaking the Service's protocol",
            )
            continue
        for endpoint in port.internal_endpoints[:_TRIED]:
            yield _connect(f"connect to endpoint {format_address(endpoint.address)}:{endpoint.port}", endpoint)
        yield _through(port, label)


def _exists(view: NodeView, name: ServiceName, ports: list[ServicePort]) -> Step:
    if ports:
        shown = ", ".join(f"{p.port_name or p.port}={p.port}/{p.protocol}" for p in ports)
        addresses = ", ".join(sorted({format_address(port.cluster_ip) for port in ports}))
        return Step(step="Service", result=Result.OK, detail=f"cluster IP {addresses}, ports {shown}")
    service = find(view, name)
    if view.desired is None:
        detail = "no objects to look at: give --kubeconfig or --manifests"
    elif service is None:
        detail = f"there is no Service {name}"
    else:
        detail = f"not served by a proxy: type {service.spec.type}, cluster IP {service.spec.cluster_ip or '(none)'}"
    return Step(step="Service", result=Result.FAILED, detail=detail)


def _dns(view: NodeView, name: ServiceName, addresses: list[Address], domain: str) -> Iterator[Step]:
    server = _dns_server(view)
    for address in addresses:
        family = next(port.family for port in view.ports_of(name) if port.cluster_ip == address)
        step = f"DNS {name.name}.{name.namespace}.svc.{domain} ({family.value})"
        if server is None:
            detail = "no cluster DNS Service, and no name server in /etc/resolv.conf that is one"
            yield Step(step=step, result=Result.SKIPPED, detail=detail)
            return
        answer = resolve(server, f"{name.name}.{name.namespace}.svc.{domain}", family)
        right = address in answer.addresses
        detail = f"{server} answers {describe(answer)}"
        if not right and answer.addresses:
            detail += f", not {format_address(address)}"
        yield Step(step=step, result=Result.OK if right else Result.FAILED, detail=detail)


def _dns_server(view: NodeView) -> str | None:
    """The cluster's DNS Service, else a name server of this machine that is a cluster IP."""
    for each in _DNS_SERVICES:
        for port in view.ports_of(ServiceName(*each)):
            return format_address(port.cluster_ip)
    served = {port.cluster_ip for port in view.ports()}
    return next((server for server in name_servers() if parse_address(server) in served), None)


def _endpoints(port: ServicePort, label: str, node: str) -> Step:
    step = f"endpoints of {label}"
    chosen = port.internal_endpoints
    match port.internal_verdict:
        case Verdict.REJECT:
            return Step(step=step, result=Result.FAILED, detail="none is ready: connections are refused")
        case Verdict.DROP:
            detail = f"internalTrafficPolicy is Local, and none is on node {node}: connections are dropped"
            return Step(step=step, result=Result.FAILED, detail=detail)
        case _:
            shown = ", ".join(f"{format_address(e.address)}:{e.port}" for e in chosen[:_TRIED])
            more = f" and {len(chosen) - _TRIED} more" if len(chosen) > _TRIED else ""
            return Step(step=step, result=Result.OK, detail=f"{len(chosen)}: {shown}{more}")


def rules_step(view: NodeView, port: ServicePort, label: str) -> Step:
    """Whether the kernel has what the mode needs for a Service port."""
    held = rules_hold(view.mode, port)
    step = f"rules for {label}"
    if held.present is None:
        return Step(step=step, result=Result.SKIPPED, detail=held.detail)
    if held.present:
        return Step(step=step, result=Result.OK, detail=held.detail)
    if view.detection.owner is Owner.KPROXY:
        return Step(step=step, result=Result.FAILED, detail=held.detail, fixes=(shell("kproxy", "diff", "--repair"),))
    remedy = restart(view)
    return Step(step=step, result=Result.FAILED, detail=held.detail, fixes=remedy.fixes, advice=remedy.advice)


def _connect(step: str, endpoint: Endpoint) -> Step:
    tried = _try(endpoint.address, endpoint.port)
    if tried.error:
        return Step(step=step, result=Result.FAILED, detail=tried.error)
    return Step(step=step, result=Result.OK, detail=f"{tried.milliseconds:.1f} ms")


def _through(port: ServicePort, label: str) -> Step:
    tried = _try(port.cluster_ip, port.port)
    step = f"connect through {label}"
    if not tried.error:
        return Step(step=step, result=Result.OK, detail=f"{tried.milliseconds:.1f} ms")
    return Step(step=step, result=Result.FAILED, detail=tried.error)


def _try(address: Address, port: int) -> _Connection:
    host = format_address(address)
    begun = time.perf_counter()
    try:
        socket.create_connection((host, port), _CONNECT_SECONDS).close()
    except TimeoutError:
        return _Connection(f"no answer within {_CONNECT_SECONDS:g} s", 0.0)
    except OSError as error:
        return _Connection(error.strerror or str(error), 0.0)
    return _Connection("", (time.perf_counter() - begun) * 1000)
