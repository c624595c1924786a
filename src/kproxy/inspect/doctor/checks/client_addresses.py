"""Whom clients seem to be, and who may come: masquerading and source ranges."""

from collections.abc import Iterator

from kproxy.config.defaults import mode_settings
from kproxy.inspect.doctor.finding import Finding, Severity, kubectl_patch
from kproxy.inspect.doctor.supervision import configuration_advice
from kproxy.inspect.doctor.view import NodeView
from kproxy.services.addresses import Family, format_address, parse_address, parse_network
from kproxy.services.local_traffic import LocalTraffic
from kproxy.services.model import Policy, ServiceName
from kproxy.services.objects import Service

_SHOWN = 8


def lost(view: NodeView) -> Iterator[Finding]:
    """Pods see the node's address in the place of the client's."""
    if mode_settings(view.configuration).masquerade_all:
        yield Finding(
            check="source-address",
            severity=Severity.WARNING,
            subject=f"node {view.node}",
            evidence=(f"masqueradeAll is true in {view.configuration.mode} mode's settings",),
            cause="Everything sent to cluster IPs is masqueraded, pods' own traffic included: logs and network "
            "policies see nodes in place of clients.",
            advice=configuration_advice(view, f"{view.configuration.mode}.masqueradeAll to false"),
        )
    yield from _foreign_pods(view)
    hidden = sorted(
        {port.service for port in view.ports() if port.externally_accessible and port.external_policy is Policy.CLUSTER}
    )
    if not hidden:
        return
    more = f" and {len(hidden) - _SHOWN} more" if len(hidden) > _SHOWN else ""
    change: dict[str, object] = {"op": "replace", "path": "/spec/externalTrafficPolicy", "value": "Local"}
    yield Finding(
        check="source-address",
        severity=Severity.NOTE,
        subject=f"{len(hidden)} Services" if len(hidden) > 1 else f"Service {hidden[0]}",
        evidence=(f"externalTrafficPolicy is Cluster: {', '.join(map(str, hidden[:_SHOWN]))}{more}",),
        cause="External clients' addresses are replaced by the node's. Local keeps them, and uses local pods only.",
        fixes=tuple(kubectl_patch("service", *name, [change]) for name in hidden[:_SHOWN]),
        advice="With Local, nodes without a pod of the Service drop its traffic: choose it Service by Service.",
    )


def _foreign_pods(view: NodeView) -> Iterator[Finding]:
    """Pods of this node that the proxy takes for outsiders, whose traffic to cluster IPs it masquerades."""
    recognised = view.desired.local_traffic if view.desired else {}
    foreign = []
    for pod in (view.cluster.pods if view.cluster else None) or ():
        address = parse_address(pod.status.pod_ip)
        if address is None or pod.spec.node_name != view.node or pod.spec.host_network or not pod.running:
            continue
        network = recognised.get(Family.of(address), LocalTraffic()).network
        if network is not None and address not in network:
            foreign.append(
                f"Pod {pod.metadata.namespace}/{pod.metadata.name} has {pod.status.pod_ip}, not in {network}"
            )
    if foreign:
        mode = view.configuration.detect_local_mode
        yield Finding(
            check="source-address",
            severity=Severity.WARNING,
            subject=f"{len(foreign)} {'pods' if len(foreign) > 1 else 'pod'} of node {view.node}",
            evidence=(f"detectLocalMode is {mode}", *foreign[:_SHOWN]),
            cause="They count as outsiders: what these pods send to cluster IPs seems to come from the node.",
            advice=configuration_advice(view, "clusterCIDR to all networks of pods, or another detectLocalMode,")
            if mode != "NodeCIDR"
            else "The network plugin gives pods addresses outside of the Node's podCIDRs: use another detectLocalMode.",
        )


def source_ranges(view: NodeView) -> Iterator[Finding]:
    """`loadBalancerSourceRanges` that let in nobody, everybody, or are not used."""
    for name, service in view.desired.services.items() if view.desired else ():
        if service.spec.load_balancer_source_ranges:
            yield from _of_service(view, name, service, service.spec.load_balancer_source_ranges)


def _of_service(view: NodeView, name: ServiceName, service: Service, texts: list[str]) -> Iterator[Finding]:
    bad = [text for text in texts if parse_network(text) is None]
    good = [network for text in texts if (network := parse_network(text)) is not None]

    def finding(severity: Severity, evidence: tuple[str, ...], cause: str, *fixes: str, advice: str = "") -> Finding:
        return Finding(
            check="source-ranges",
            severity=severity,
            subject=f"Service {name}",
            service=str(name),
            evidence=evidence,
            cause=cause,
            fixes=fixes,
            advice=advice,
        )

    def replaced(value: list[str]) -> str:
        operation = {"op": "replace", "value": value} if value else {"op": "remove"}
        return kubectl_patch("service", *name, [{**operation, "path": "/spec/loadBalancerSourceRanges"}])

    if service.spec.type != "LoadBalancer":
        yield finding(
            Severity.WARNING,
            (f"spec.type is {service.spec.type}, and source ranges are given",),
            "Source ranges hold for load balancer addresses only: NodePorts and external IPs stay open to all.",
            replaced([]),
        )
        return
    if bad:
        yield finding(
            Severity.CRITICAL,
            tuple(f"{text!r} is no CIDR" for text in bad),
            "A range that cannot be read admits nobody.",
            *([replaced(list(map(str, good)))] if good else []),
            advice="" if good else "Give the ranges as CIDRs; without any, everybody is let in.",
        )
        return
    for family in Family:
        ips = {ip for port in view.ports_of(name) if port.family is family for ip in port.load_balancer_ips}
        if ips and not any(len(network.address) == family.length for network in good):
            shown = ", ".join(map(format_address, sorted(ips)))
            everyone = "0.0.0.0/0" if family is Family.IPV4 else "::/0"
            yield finding(
                Severity.WARNING,
                (
                    f"load balancer addresses {shown}",
                    f"source ranges {', '.join(texts)}: none of them is {family.value}",
                ),
                f"No range is of the family {family.value}: whether clients of it come in is left to the proxy.",
                replaced([*map(str, good), everyone]),
            )
