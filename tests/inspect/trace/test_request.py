import pytest

from kproxy.inspect.output import InspectionError
from kproxy.inspect.trace.request import ObjectName, parse_destination, parse_source
from kproxy.services.addresses import parse_address
from kproxy.services.model import ServiceName


@pytest.mark.parametrize(
    ("text", "host", "port", "protocol"),
    [
        ("10.96.0.10:80", parse_address("10.96.0.10"), 80, None),
        ("10.96.0.10:53/udp", parse_address("10.96.0.10"), 53, "UDP"),
        ("[fd00::1]:443/TCP", parse_address("fd00::1"), 443, "TCP"),
        ("web:80", ServiceName("default", "web"), 80, None),
        ("shop/web:http", ServiceName("shop", "web"), "http", None),
        ("web.shop.svc:80/sctp", ServiceName("shop", "web"), 80, "SCTP"),
        ("web.shop.svc.cluster.local:80", ServiceName("shop", "web"), 80, None),
    ],
)
def test_destinations(text: str, host: object, port: object, protocol: object) -> None:
    found = parse_destination(text)
    assert (found.host, found.port, found.protocol) == (host, port, protocol)


@pytest.mark.parametrize(
    "text",
    ["", "10.96.0.10", "10.96.0.10:0", "10.96.0.10:65536", "1.2.3:80", "[web]:80", "a:80/icmp", "fd00::1:80", ":80"],
)
def test_what_is_no_destination(text: str) -> None:
    with pytest.raises(InspectionError, match=r"^"):
        parse_destination(text)


def test_sources() -> None:
    assert parse_source("node") is None
    assert parse_source("10.0.0.1") == bytes((10, 0, 0, 1))
    assert parse_source("[fd00::1]") == parse_address("fd00::1")
    assert parse_source("kube-system/coredns-abc") == ObjectName("kube-system", "coredns-abc")
    assert parse_source("client") == ObjectName("default", "client")
    with pytest.raises(InspectionError):
        parse_source("no such thing")
