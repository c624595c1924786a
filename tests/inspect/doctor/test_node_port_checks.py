"""Why a NodePort is not reached, firewalls apart."""

import sys

import pytest

from kproxy.inspect.doctor.finding import Severity
from kproxy.kernel.sysctls import read_sysctl
from tests.inspect.doctor.patient import Patient, run, started

pytestmark = pytest.mark.root


async def test_addresses(patient: Patient) -> None:
    run("ip", "addr", "add", "192.0.2.1/32", "dev", "lo")
    patient.service(type="NodePort")
    patient.slice("web", "10.244.1.1")
    patient.settings["nodePortAddresses"] = ["10.99.0.0/16"]
    (finding,) = await patient.findings("node-port-addresses")
    assert finding.severity is Severity.CRITICAL
    assert "192.0.2.1" in finding.evidence[1]
    assert not finding.fixes
    assert finding.advice.startswith("Set nodePortAddresses to CIDRs that have these addresses, or leave it out,")
    patient.settings["nodePortAddresses"] = ["192.0.2.0/24"]
    assert not await patient.findings("node-port-addresses")


async def test_some_of_the_addresses_that_clients_are_told(patient: Patient) -> None:
    for address in ("192.0.2.1/32", "192.0.2.2/32"):
        run("ip", "addr", "add", address, "dev", "lo")
    patient.node("192.0.2.1", "192.0.2.2")
    patient.service(type="NodePort")
    patient.settings["nodePortAddresses"] = ["192.0.2.1/32"]
    (finding,) = await patient.findings("node-port-addresses")
    assert finding.severity is Severity.WARNING
    del patient.settings["nodePortAddresses"]
    patient.settings["mode"] = "iptables"  # whose default is every address
    assert not await patient.findings("node-port-addresses")


async def test_taken_by_a_program(patient: Patient) -> None:
    patient.service(type="NodePort", ports=[{"name": "http", "port": 80, "nodePort": 30080}])
    patient.slice("web", "10.244.1.1")
    script = "import socket,time\ns=socket.create_server(('0.0.0.0',30080))\nprint('up',flush=True)\ntime.sleep(60)"
    process = await started([sys.executable, "-c", script])
    try:
        (finding,) = await patient.findings("node-port-taken")
        assert f"(process {process.pid}) listens on port 30080/TCP" in finding.evidence[0]
        assert finding.advice.endswith("or have the program listen on another one.")
        await patient.apply([finding])
        assert not await patient.findings("node-port-taken")
    finally:
        process.kill()
        await process.wait()


async def test_local_port_range(patient: Patient) -> None:
    patient.service(type="NodePort")
    patient.slice("web", "10.244.1.1")
    run("sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65000", "net.ipv4.ip_local_reserved_ports=8080,9090-9092")
    (finding,) = await patient.findings("local-port-range")
    await patient.apply([finding])
    assert read_sysctl("net/ipv4/ip_local_reserved_ports") == "8080,9090-9092,30000-32767"
    assert patient.written("etc/sysctl.d/kproxy-doctor.conf") == [
        "net/ipv4/ip_local_reserved_ports = 8080,9090-9092,30000-32767"
    ]
    assert not await patient.findings("local-port-range")
