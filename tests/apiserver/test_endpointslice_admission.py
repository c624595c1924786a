from typing import Any

import pytest

from kproxy.apiserver import Store
from kproxy.apiserver.errors import ApiError
from tests.apiserver.builders import endpoint_slice


def test_port_defaults(store: Store) -> None:
    assert store.apply(endpoint_slice() | {"ports": [{"port": 80}]})["ports"] == [
        {"port": 80, "name": "", "protocol": "TCP"}
    ]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"addressType": "IPX"}, "addressType"),
        ({"addressType": ""}, "addressType"),
        ({"endpoints": [{"addresses": []}]}, "endpoints[0].addresses"),
        ({"endpoints": [{"addresses": ["fd00::1"]}]}, "endpoints[0].addresses[0]"),
        ({"endpoints": [{"addresses": ["127.0.0.1"]}]}, "endpoints[0].addresses[0]"),
        ({"endpoints": [{"addresses": ["10.0.0.1"], "nodeName": "A B"}]}, "endpoints[0].nodeName"),
        (
            {"endpoints": [{"addresses": ["10.0.0.1"], "hints": {"forZones": [{"name": "a"}, {"name": "a"}]}}]},
            "endpoints[0].hints.forZones[1].name",
        ),
        ({"endpoints": [{"addresses": ["10.0.0.1"]}] * 1001}, "endpoints"),
        ({"ports": [{"port": 1}, {"port": 2}]}, "ports[1].name"),
        ({"ports": [{"port": 0}]}, "ports[0].port"),
        ({"ports": [{"port": 1, "protocol": "tcp"}]}, "ports[0].protocol"),
    ],
)
def test_what_is_refused_and_the_field_at_fault(store: Store, change: dict[str, Any], field: str) -> None:
    with pytest.raises(ApiError) as caught:
        store.apply(endpoint_slice() | change)
    assert caught.value.code == 422
    assert caught.value.details
    assert [cause["field"] for cause in caught.value.details["causes"]] == [field]


def test_the_address_type_cannot_change(store: Store) -> None:
    store.apply(endpoint_slice())
    changed = endpoint_slice() | {"addressType": "IPv6", "endpoints": [{"addresses": ["fd00::1"]}]}
    with pytest.raises(ApiError, match="field is immutable"):
        store.apply(changed)
