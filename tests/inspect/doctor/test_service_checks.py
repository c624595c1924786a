"""Faults of Services: each is made, found, mended by the suggested command, and gone."""

from typing import Any

import pytest

from kproxy.inspect.doctor.finding import Severity
from tests.inspect.doctor.patient import Patient, encoded, run

pytestmark = pytest.mark.root


async def test_no_endpoints(patient: Patient) -> None:
    patient.service(selector={"app": "web"})
    patient.pod("web-1", ready=False, app="web")
    patient.slice("web", "10.244.1.1", ready=False)
    (finding,) = await patient.findings("no-endpoints")
    assert (finding.subject, finding.severity) == ("Service default/web", Severity.CRITICAL)
    assert "Ready is False no answer" in finding.evidence[0]
    assert finding.fixes == ("kubectl -n default describe pod web-1",)
    patient.pod("web-1", app="web")
    patient.slice("web", "10.244.1.1")
    assert not await patient.findings("no-endpoints")


async def test_no_selector_and_nobody_makes_slices(patient: Patient) -> None:
    patient.service()
    (finding,) = await patient.findings("no-endpoints")
    assert "without a selector" in finding.cause
    patient.slice("web", "10.244.1.1")
    assert not await patient.findings("no-endpoints")


async def test_selector(patient: Patient) -> None:
    patient.service(selector={"app": "wbe", "tier": "front"})
    patient.pod("web-1", app="web", tier="front", version="2")
    patient.pod("db-1", app="db")
    (finding,) = await patient.findings("selector")
    assert "Pod web-1 comes nearest: app=web,tier=front" in finding.evidence
    assert not await patient.findings("no-endpoints")  # told once
    await patient.apply([finding])
    assert not await patient.findings("selector")
    assert patient.store.apply(patient.service(selector={"app": "web"}))["spec"]["selector"] == {"app": "web"}


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
    patient.slice("web", "10.244.1.1")
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


async def test_lost_client_addresses(patient: Patient) -> None:
    patient.service(type="NodePort")
    patient.slice("web", "10.244.1.1")
    (note,) = await patient.findings("source-address")
    assert note.severity is Severity.NOTE
    await patient.apply([note])
    assert not await patient.findings("source-address")
    patient.settings["nftables"] = {"masqueradeAll": True}
    (finding,) = await patient.findings("source-address")
    assert finding.severity is Severity.WARNING
    patient.settings["nftables"] = {"masqueradeAll": False}
    assert not await patient.findings("source-address")


async def test_uneven_balancing(patient: Patient) -> None:
    patient.service(sessionAffinity="ClientIP")
    patient.slice("web", "10.244.1.1", "10.244.1.2")
    for number in range(60):
        pod = "10.244.1.2" if number % 20 == 0 else "10.244.1.1"
        run(
            *("conntrack", "-I", "-p", "tcp", "-s", "192.0.2.9", "-d", "10.96.0.10"),
            *("--sport", str(20000 + number), "--dport", "80", "-r", pod, "-q", "192.0.2.9"),
            *("--reply-port-src", "8080", "--reply-port-dst", str(20000 + number)),
            *("--state", "ESTABLISHED", "-t", "60", "-u", "SEEN_REPLY"),
        )
    (finding,) = await patient.findings("uneven-balancing")
    assert "10.244.1.1:8080 has 57 of 60 connections" in encoded([finding])
    assert "Clients stay" in finding.cause
    await patient.apply([finding])
    run("conntrack", "-F")
    assert not await patient.findings("uneven-balancing")
