"""Does a Service lead to pods that answer?"""

import difflib
from collections.abc import Iterator

from kproxy.inspect.doctor.cluster_objects import Pod, SelectingService, TargetedPort, describe_pod
from kproxy.inspect.doctor.finding import Finding, Severity, kubectl_patch, shell
from kproxy.inspect.doctor.view import NodeView
from kproxy.services.model import Policy, ServiceName, ServicePort
from kproxy.services.objects import EndpointSlice

_SHOWN = 5
_SIMILAR = 0.6
_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_CONTROLLER = "endpointslice-controller.k8s.io"


def no_endpoints(view: NodeView) -> Iterator[Finding]:
    """Nobody takes traffic: connections are refused."""
    if view.desired is None:
        return
    for name in sorted(view.desired.tracker.names()):
        ports = view.ports_of(name)
        if not ports or any(port.has_endpoints for port in ports):
            continue
        service = find(view, name)
        pods = view.cluster.selected(service) if view.cluster and service and service.spec.selector else []
        if (
            service is not None
            and service.spec.selector
            and view.cluster
            and view.cluster.pods is not None
            and not pods
        ):
            continue  # the selector's fault
        yield _without_endpoints(name, service, pods, slices=len(view.desired.slices.get(name, ())))


def _without_endpoints(name: ServiceName, service: SelectingService | None, pods: list[Pod], *, slices: int) -> Finding:
    namespace, plain = name
    look: tuple[str, ...]
    if pods:
        waiting = [pod for pod in pods if not pod.ready]
        shown = tuple(describe_pod(pod) for pod in waiting[:_SHOWN])
        cause = (
            "The selector matches pods, but none of them is ready." if waiting else "Pods are ready, slices lag behind."
        )
        look = tuple(shell("kubectl", "-n", namespace, "describe", "pod", p.metadata.name) for p in waiting[:_SHOWN])
        advice = "Mend the pods, or their readiness probe." if waiting else "See whether kube-controller-manager runs."
    elif service is not None and not service.spec.selector:
        shown = (f"no selector, {slices} EndpointSlices",)
        cause = "A Service without a selector needs EndpointSlices that somebody else makes."
        look = (_slices(name),)
        advice = f"Make an EndpointSlice with the label kubernetes.io/service-name={plain}, or give it a selector."
    else:
        shown = (f"{slices} EndpointSlices, no endpoint in them that is ready",)
        cause = "No pod behind the Service is ready."
        look = (shell("kubectl", "-n", namespace, "get", "pods", "-o", "wide"), _slices(name))
        advice = "See to its pods: there are none, or they are not ready."
    return Finding(
        check="no-endpoints",
        severity=Severity.CRITICAL,
        subject=f"Service {name}",
        service=str(name),
        evidence=shown,
        cause=cause,
        look=look,
        advice=advice,
    )


def _slices(name: ServiceName, *options: str) -> str:
    label = f"kubernetes.io/service-name={name.name}"
    return shell("kubectl", "-n", name.namespace, "get", "endpointslices", "-l", label, *options)


def find(view: NodeView, name: ServiceName) -> SelectingService | None:
    """The Service as the cluster has it."""
    services = view.cluster.services if view.cluster else ()
    return next((s for s in services if (s.metadata.namespace, s.metadata.name) == tuple(name)), None)


# ---------------------------------------------------------------------- selectors


def selector(view: NodeView) -> Iterator[Finding]:
    """The selector matches no pod."""
    cluster = view.cluster
    if cluster is None or cluster.pods is None:
        return
    for service in cluster.services:
        wanted = service.spec.selector
        if not wanted or service.spec.type == "ExternalName" or cluster.selected(service):
            continue
        namespace, name = service.metadata.namespace, service.metadata.name
        near = _nearest(wanted, [pod for pod in cluster.pods if pod.metadata.namespace == namespace])
        evidence = [f"spec.selector {_labels(wanted)} matches none of the pods in namespace {namespace}"]
        fixes, look, advice = list[str](), list[str](), ""
        if near:
            pod, labels = near
            evidence.append(f"Pod {pod.metadata.name} comes nearest: {_labels(labels)}")
            change: dict[str, object] = {"op": "replace", "path": "/spec/selector", "value": labels}
            fixes.append(kubectl_patch("service", namespace, name, [change]))
        else:
            look.append(shell("kubectl", "-n", namespace, "get", "pods", "--show-labels"))
            advice = "Create the pods, or give the Service the labels that they have."
        yield Finding(
            check="selector",
            severity=Severity.CRITICAL,
            subject=f"Service {namespace}/{name}",
            service=f"{namespace}/{name}",
            evidence=tuple(evidence),
            cause="The selector and the pods' labels differ, or the pods are in another namespace or not there.",
            fixes=tuple(fixes),
            look=tuple(look),
            advice=advice,
        )


def _labels(labels: dict[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _nearest(wanted: dict[str, str], pods: list[Pod]) -> tuple[Pod, dict[str, str]] | None:
    """The pod whose labels resemble a selector most, and the selector that would match it."""
    text = _labels(wanted)
    best: tuple[float, Pod, dict[str, str]] | None = None
    for pod in pods:
        labels = pod.metadata.labels or {}
        same = {key: labels[key] for key in wanted if key in labels}
        if not same:
            same = {k: v for k, v in labels.items() if difflib.get_close_matches(k, list(wanted), 1, _SIMILAR)}
        score = difflib.SequenceMatcher(None, text, _labels(same)).ratio()
        if same and score >= _SIMILAR and (best is None or score > best[0]):
            best = (score, pod, same)
    return (best[1], best[2]) if best else None


# ---------------------------------------------------------------------- ports


def ports(view: NodeView) -> Iterator[Finding]:
    """A Service's port leads nowhere."""
    for service in view.cluster.services if view.cluster else ():
        pods = view.cluster.selected(service) if view.cluster and service.spec.selector else []
        for index, port in enumerate(service.spec.ports or ()):
            found = _target(service, index, port, [pod for pod in pods if pod.running])
            if found:
                yield found
                continue
            yield from _missing_in_slices(view, service, port)


def _target(service: SelectingService, index: int, port: TargetedPort, pods: list[Pod]) -> Finding | None:
    declared = [
        p for pod in pods for c in pod.spec.containers or () for p in c.ports or () if p.protocol == port.protocol
    ]
    target = port.target_port or port.port
    if not declared:
        return None
    if any(target in (p.name, p.container_port) for p in declared):
        return None
    offered = sorted({f"{p.name}={p.container_port}" if p.name else str(p.container_port) for p in declared})
    namespace, name = service.metadata.namespace, service.metadata.name
    numbers = {p.container_port for p in declared}
    fixes: tuple[str, ...] = ()
    if len(numbers) == 1:
        change: dict[str, object] = {"op": "add", "path": f"/spec/ports/{index}/targetPort", "value": numbers.pop()}
        fixes = (kubectl_patch("service", namespace, name, [change]),)
    named = isinstance(target, str)
    return Finding(
        check="ports",
        severity=Severity.CRITICAL if named else Severity.WARNING,
        subject=f"Service {namespace}/{name} port {port.name or port.port}",
        service=f"{namespace}/{name}",
        evidence=(
            f"spec.ports[{index}].targetPort is {target}/{port.protocol}",
            f"containers of the selected pods declare {', '.join(offered)}",
        ),
        cause="No container has a port of that name: it resolves to nothing."
        if named
        else "No container declares that port. Declarations are not binding, but connections are likely refused.",
        fixes=fixes,
        advice="" if fixes else "Choose one of the ports that the containers declare.",
    )


def _missing_in_slices(view: NodeView, service: SelectingService, port: TargetedPort) -> Iterator[Finding]:
    """Endpoints without this port: slices made by hand, or a name that was changed on one side."""
    if view.desired is None:
        return
    name = ServiceName(service.metadata.namespace, service.metadata.name)
    slices = [each for each in view.desired.slices.get(name, ()) if each.endpoints]
    offered = {(p.name or "", p.protocol or "TCP") for each in slices for p in each.ports or ()}
    if slices and (port.name, port.protocol) not in offered:
        shown = ", ".join(sorted(f"{n or '(unnamed)'}/{p}" for n, p in offered)) or "none"
        yield Finding(
            check="ports",
            severity=Severity.CRITICAL,
            subject=f"Service {name} port {port.name or port.port}",
            service=str(name),
            evidence=(f"its EndpointSlices have endpoints, but their ports are {shown}",),
            cause="Ports of Service and EndpointSlices are matched by name and protocol, and these do not match.",
            fixes=tuple(_rename(slices, service, port)),
            look=(_slices(name, "-o", "yaml"),),
            advice="Slices that a controller makes follow the Service: change the others, or the Service's port.",
        )


def _rename(slices: list[EndpointSlice], service: SelectingService, port: TargetedPort) -> Iterator[str]:
    """The commands that name the port of slices made by hand as the Service does, where there is no choice."""
    for each in slices:
        ports = each.ports or []
        by_hand = (each.metadata.labels or {}).get(_MANAGED_BY) != _CONTROLLER
        if (
            by_hand
            and len(ports) == len(service.spec.ports or ()) == 1
            and (ports[0].protocol or "TCP") == port.protocol
        ):
            change: dict[str, object] = {"op": "add", "path": "/ports/0/name", "value": port.name}
            yield kubectl_patch("endpointslice", each.metadata.namespace, each.metadata.name, [change])


# ---------------------------------------------------------------------- policies


def local_policy(view: NodeView) -> Iterator[Finding]:
    """A Local policy, and no endpoint on this node."""
    for port in view.ports():
        if not port.has_endpoints:
            continue
        if port.internal_policy is Policy.LOCAL and not port.internal_endpoints:
            yield _dropped(view, port, "internalTrafficPolicy", "pods on this node cannot reach the cluster IP")
        if port.external_policy is Policy.LOCAL and port.externally_accessible and not port.external_endpoints:
            yield _dropped(view, port, "externalTrafficPolicy", "clients outside get no answer from this node")


def _dropped(view: NodeView, port: ServicePort, field: str, effect: str) -> Finding:
    namespace, name = port.service
    internal = field == "internalTrafficPolicy"
    change: dict[str, object] = {"op": "replace", "path": f"/spec/{field}", "value": "Cluster"}
    return Finding(
        check="local-policy",
        # Load balancers leave out nodes without endpoints, by the health check port; for pods there is no such thing.
        severity=Severity.CRITICAL if internal else Severity.WARNING,
        subject=f"Service {port} ({port.family.value})",
        service=str(port.service),
        evidence=(f"spec.{field} is Local", f"no endpoint on node {view.node}, though there are some on others"),
        cause=f"Traffic is dropped here: {effect}.",
        fixes=(kubectl_patch("service", namespace, name, [change]),),
    )
