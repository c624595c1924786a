import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kproxy.apiserver.http.protobuf import UnknownMessageError, decode_protobuf


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    encoded = b""
    while value > 0x7F:
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])


def envelope(api_version: bytes, kind: bytes, raw: bytes) -> bytes:
    return b"k8s\x00" + field(1, field(1, api_version) + field(2, kind)) + field(2, raw) + field(3, b"") + field(4, b"")


def test_a_service() -> None:
    label = field(11, field(1, b"app") + field(2, b"web"))
    meta = field(1, b"web") + field(2, b"") + field(7, 0) + field(8, b"") + label
    named_target = field(1, 1) + field(2, 0) + field(3, b"http")
    port = field(1, b"a") + field(2, b"TCP") + field(3, 80) + field(4, field(1, 0) + field(2, 8080)) + field(5, 0)
    other = field(1, b"b") + field(3, 443) + field(4, named_target)
    spec = field(1, port) + field(1, other) + field(4, b"ClusterIP") + field(20, 0) + field(99, b"new in the future")
    assert decode_protobuf(envelope(b"v1", b"Service", field(1, meta) + field(2, spec))) == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {
            "ports": [
                {"name": "a", "protocol": "TCP", "port": 80, "targetPort": 8080},
                {"name": "b", "port": 443, "targetPort": "http"},
            ],
            "type": "ClusterIP",
            "allocateLoadBalancerNodePorts": False,
        },
    }


def test_the_times_of_an_event() -> None:
    raw = field(2, field(1, 1_767_225_600) + field(2, 5_000)) + field(
        3, field(1, 2) + field(2, field(1, 1_767_225_600))
    )
    event = decode_protobuf(envelope(b"events.k8s.io/v1", b"Event", raw))
    assert event["eventTime"] == "2026-01-01T00:00:00.000005Z"
    assert event["series"] == {"count": 2, "lastObservedTime": "2026-01-01T00:00:00Z"}


def test_kinds_that_are_not_read() -> None:
    with pytest.raises(UnknownMessageError):
        decode_protobuf(envelope(b"apps/v1", b"Deployment", b""))


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_an_object_or_a_value_error(data: bytes) -> None:
    for body in (data, b"k8s\x00" + data, envelope(b"v1", b"Service", data), envelope(b"v1", b"Event", data)):
        with contextlib.suppress(ValueError):
            assert isinstance(decode_protobuf(body), dict)
