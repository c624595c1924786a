"""Faults of Services: each is made, found, mended by the suggested command, and gone."""

from typing import Any

import msgspec
import pytest

from kproxy.apiserver.resources import SERVICES
from kproxy.inspect.doctor.finding import Severity
from tests.inspect.doctor.patient import Patient, encoded, proxy, run

pytestmark = pytest.mark.root


async def test_no_endpoints(patient: Patient) -> None:
    patient.service(selector={"app": "web"})
    patient.pod("web-1", ready=False, app="web")
    patient.slice("web", "10.244.1.1", ready=False)
    (finding,) = await patient.findings("no-endpoints")
    assert (finding.subject, finding.severity) == ("Service default/web", Severity.CRITICAL)
    assert "Ready is False no answer" in finding.evidence[0]
    assert not finding.fixes
    assert finding.look == ("kubectl -n default describe pod web-1",)
    assert "web-1" in await patient.command(finding.look[0])
    assert finding.advice == "Mend the pods, or their readiness probe."
    patient.pod("web-1", app="web")
    patient.slice("web", "10.244.1.1")
    assert not await patient.findings("no-endpoints")


async def test_no_selector_and_nobody_makes_slices(patient: Patient) -> None:
    patient.service()
    (finding,) = await patient.findings("no-endpoints")
    assert "without a selector" in finding.cause
    assert "label kubernetes.io/service-name=web" in finding.advice
    patient.slice("web", "10.244.1.1")
    assert "web-1" in await patient.command(finding.look[0])
    assert not await patient.findings("no-endpoints")


async def test_no_endpoints_where_pods_cannot_be_listed(patient: Patient) -> None:
    patient.service(selector={"app": "web"})
    patient.slice("web", "10.244.1.1", ready=False)
    view = await patient.view()
    assert view.cluster is not None
    cluster = msgspec.structs.replace(view.cluster, pods=None)
    (finding,) = await patient.findings("no-endpoints", cluster=cluster)
    assert finding.evidence == ("1 EndpointSlices, no endpoint in them that is ready",)
    patient.slice("web", "10.244.1.1")
    assert "web-1" in await patient.command(finding.look[1])
    assert not await patient.findings("no-endpoints", cluster=cluster)


async def test_selector(patient: Patient) -> None:
    patient.service(selector={"app": "wbe", "tier": "front"})
    patient.pod("web-1", app="web", tier="front", version="2")
    patient.pod("db-1", app="db")
    (finding,) = await patient.findings("selector")
    assert "Pod web-1 comes nearest: app=web,tier=front" in finding.evidence
    assert not await patient.findings("no-endpoints")  # told once
    await patient.apply([finding])
    assert not await patient.findings("selector")
    assert patient.store.get(SERVICES, "default", "web").decode()["spec"]["selector"] == {"app": "web", "tier": "front"}


async def test_a_selector_that_nothing_resembles(patient: Patient) -> None:
    patient.service(selector={"app": "web"})
    (finding,) = await patient.findings("selector")
    assert not finding.fixes
    assert finding.advice == "Create the pods, or give the Service the labels that they have."
    patient.pod("web-1", app="web")
    assert "app=web" in await patient.command(finding.look[0])
    assert not await patient.findings("selector")


async def test_a_target_port_that_no_container_declares(patient: Patient) -> None:
    patient.service(selector={"app": "web"}, ports=[{"name": "http", "port": 80}])
    patient.pod("web-1", app="web")
    (finding,) = await patient.findings("ports")
    assert finding.severity is Severity.WARNING
    await patient.apply([finding])
    assert not await patient.findings("ports")


async def test_a_target_port_with_several_to_choose_from(patient: Patient) -> None:
    patient.service(selector={"app": "web"}, ports=[{"name": "http", "port": 80}])
    patient.pod("web-1", app="web")
    patient.pod("web-2", port=9090, app="web")
    (finding,) = await patient.findings("ports")
    assert not finding.fixes
    assert finding.advice == "Choose one of the ports that the containers declare."
    patient.service(selector={"app": "web"}, ports=[{"name": "http", "port": 80, "targetPort": 9090}])
    assert not await patient.findings("ports")


async def test_named_target_port_that_no_container_has(patient: Patient) -> None:
    patient.service(selector={"app": "web"}, ports=[{"name": "http", "port": 80, "targetPort": "htpp"}])
    patient.pod("web-1", app="web")
    (finding,) = await patient.findings("ports")
    assert finding.severity is Severity.CRITICAL
    assert "web=8080" in finding.evidence[1]
    await patient.apply([finding])
    assert not await patient.findings("ports")


async def test_ports_whose_names_differ_between_service_and_slices(patient: Patient) -> None:
    patient.service()
    patient.slice("web", "10.244.1.1", port="web")
    (finding,) = await patient.findings("ports")
    assert "their ports are web/TCP" in finding.evidence[0]
    assert "name: web" in await patient.command(finding.look[0])
    await patient.apply([finding])
    assert not await patient.findings("ports")


@pytest.mark.parametrize(
    ("spec", "severity"),
    [
        ({"internalTrafficPolicy": "Local"}, Severity.CRITICAL),
        ({"type": "NodePort", "externalTrafficPolicy": "Local"}, Severity.WARNING),
    ],
)
async def test_local_policy(patient: Patient, spec: dict[str, str], severity: Severity) -> None:
    patient.service(**spec)
    patient.slice("web", "10.244.2.1", node="elsewhere")
    (finding,) = await patient.findings("local-policy")
    assert finding.severity is severity
    await patient.apply([finding])
    assert not await patient.findings("local-policy")


async def test_source_ranges_of_one_family_only(patient: Patient) -> None:
    dual: dict[str, Any] = {
        "type": "LoadBalancer",
        "ipFamilyPolicy": "RequireDualStack",
        "ipFamilies": ["IPv4", "IPv6"],
    }
    both = ["10.96.0.10", "fd00:10:96::10"]
    made = patient.service(**dual, clusterIPs=both, loadBalancerSourceRanges=["203.0.113.0/24"])
    patient.store.apply(
        {**made, "status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.1"}, {"ip": "2001:db8::1"}]}}}
    )
    (finding,) = await patient.findings("source-ranges")
    assert "2001:db8::1" in finding.evidence[0]
    await patient.apply([finding])
    assert not await patient.findings("source-ranges")


async def test_source_ranges_that_cannot_be_read(patient: Patient) -> None:
    patient.old_service(type="LoadBalancer", loadBalancerSourceRanges=["203.0.113.0/24", "anywhere"])
    (finding,) = await patient.findings("source-ranges")
    assert (finding.severity, finding.evidence) == (Severity.CRITICAL, ("'anywhere' is no CIDR",))
    await patient.apply([finding])
    assert not await patient.findings("source-ranges")
    patient.old_service(type="LoadBalancer", loadBalancerSourceRanges=["anywhere"])
    (finding,) = await patient.findings("source-ranges")
    assert not finding.fixes  # without ranges, everybody would come in
    assert finding.advice.startswith("Give the ranges as CIDRs")


async def test_source_ranges_of_a_service_that_uses_none(patient: Patient) -> None:
    patient.old_service(type="ClusterIP", loadBalancerSourceRanges=["203.0.113.0/24"])
    (finding,) = await patient.findings("source-ranges")
    assert finding.evidence == ("spec.type is ClusterIP, and source ranges are given",)
    await patient.apply([finding])
    assert not await patient.findings("source-ranges")


async def test_lost_client_addresses(patient: Patient) -> None:
    patient.service(type="NodePort")
    patient.slice("web", "10.244.1.1")
    (note,) = await patient.findings("source-address")
    assert note.severity is Severity.NOTE
    await patient.apply([note])
    assert not await patient.findings("source-address")


async def test_everything_is_masqueraded(patient: Patient) -> None:
    patient.settings["nftables"] = {"masqueradeAll": True}
    (finding,) = await patient.findings("source-address")
    assert finding.severity is Severity.WARNING
    assert not finding.fixes
    assert finding.advice.startswith("Set nftables.masqueradeAll to false in the proxy's configuration")
    patient.settings["nftables"] = {"masqueradeAll": False}
    assert not await patient.findings("source-address")


async def test_pods_that_the_proxy_takes_for_outsiders(patient: Patient) -> None:
    patient.pod("web-1")
    patient.settings["clusterCIDR"] = "10.200.0.0/16"
    (finding,) = await patient.findings("source-address")
    assert "Pod default/web-1 has 10.244.1.1, not in 10.200.0.0/16" in finding.evidence
    assert not finding.fixes
    assert finding.advice.startswith("Set clusterCIDR to all networks of pods")
    patient.settings["clusterCIDR"] = "10.244.0.0/16"
    assert not await patient.findings("source-address")


def _connections(numbers: dict[str, int]) -> None:
    """Connections to 10.96.0.10:80, by the pod that has them."""
    clients = iter(range(20000, 30000))
    for pod, number in numbers.items():
        for port in (str(next(clients)) for _ in range(number)):
            run(
                *("conntrack", "-I", "-p", "tcp", "-s", "192.0.2.9", "-d", "10.96.0.10"),
                *("--sport", port, "--dport", "80", "-r", pod, "-q", "192.0.2.9"),
                *("--reply-port-src", "8080", "--reply-port-dst", port),
                *("--state", "ESTABLISHED", "-t", "60", "-u", "SEEN_REPLY"),
            )


async def test_uneven_balancing_by_session_affinity(patient: Patient) -> None:
    patient.service(sessionAffinity="ClientIP")
    patient.slice("web", "10.244.1.1", "10.244.1.2")
    _connections({"10.244.1.1": 57, "10.244.1.2": 3})
    (finding,) = await patient.findings("uneven-balancing")
    assert "10.244.1.1:8080 has 57 of 60 connections" in encoded([finding])
    assert "Clients stay" in finding.cause
    assert finding.advice == "Connections that are open stay where they are until they end."
    await patient.apply([finding])
    assert "sessionAffinity is" not in encoded(await patient.findings("uneven-balancing"))
    run("conntrack", "-F")
    assert not await patient.findings("uneven-balancing")


async def test_uneven_balancing_by_the_chosen_algorithm(patient: Patient) -> None:
    made = patient.service()
    metadata = {**made["metadata"], "annotations": {"kproxy/balancing": "source-hash"}}
    patient.store.apply({**made, "metadata": metadata})
    patient.slice("web", "10.244.1.1", "10.244.1.2")
    _connections({"10.244.1.1": 57, "10.244.1.2": 3})
    (finding,) = await patient.findings("uneven-balancing")
    assert finding.fixes == ("kubectl -n default annotate service web kproxy/balancing-",)
    await patient.apply([finding])
    assert "balanced by" not in encoded(await patient.findings("uneven-balancing"))
    run("conntrack", "-F")
    assert not await patient.findings("uneven-balancing")


async def test_uneven_balancing_of_long_lived_connections(patient: Patient) -> None:
    patient.service()
    patient.slice("web", "10.244.1.1", "10.244.1.2")
    _connections({"10.244.1.1": 57, "10.244.1.2": 3})
    async with proxy("ipvs"):
        (finding,) = await patient.findings("uneven-balancing")
    assert not finding.fixes
    assert finding.advice.startswith("Have clients or servers close connections now and then. Set ipvs.scheduler to lc")
    run("conntrack", "-F")
    _connections({"10.244.1.1": 31, "10.244.1.2": 29})
    assert not await patient.findings("uneven-balancing")
