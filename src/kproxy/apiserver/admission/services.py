"""Services: defaults, then allocation, then validation."""

from collections.abc import Sequence

from kproxy.apiserver.admission.formats import dns1035_label_error
from kproxy.apiserver.admission.service_addresses import HEADLESS, AddressAllocator, Network
from kproxy.apiserver.admission.service_defaults import (
    carry_over_allocated,
    drop_for_new_type,
    set_service_defaults,
)
from kproxy.apiserver.admission.service_ports import NodePortAllocator, node_ports_of
from kproxy.apiserver.admission.service_validation import validate_request, validate_service
from kproxy.apiserver.admission.strategy import Strategy, spec_of
from kproxy.apiserver.errors import FieldError, Json
from kproxy.apiserver.stored import Key


class ServiceStrategy(Strategy):
    """Knows all Services' addresses and node ports."""

    def __init__(self, networks: Sequence[Network], node_ports: tuple[int, int]) -> None:
        self._addresses = AddressAllocator(networks)
        self._node_ports = NodePortAllocator(*node_ports)

    def prepare(self, obj: Json, old: Json | None) -> list[FieldError]:
        spec = spec_of(obj)
        set_service_defaults(obj)
        if old is not None:
            carry_over_allocated(spec, old["spec"])
            drop_for_new_type(spec, old["spec"])
        if spec.get("clusterIP") and not spec.get("clusterIPs"):
            spec["clusterIPs"] = [spec["clusterIP"]]
        if errors := validate_request(spec):
            return errors
        owner = _owner(obj)
        if errors := self._addresses.assign(spec, owner):
            return errors
        return self._node_ports.assign(spec, owner)

    def validate(self, obj: Json, old: Json | None) -> list[FieldError]:
        return validate_service(obj, old)

    def name_error(self, name: str) -> str:
        return dns1035_label_error(name)

    def committed(self, obj: Json | None, old: Json | None) -> None:
        present = obj or old
        if present is None:
            return
        owner = _owner(present)
        self._addresses.committed(owner, _addresses_of(obj), _addresses_of(old))
        self._node_ports.committed(
            owner, node_ports_of(obj["spec"]) if obj else set(), node_ports_of(old["spec"]) if old else set()
        )


def _owner(service: Json) -> Key:
    return service["metadata"].get("namespace", ""), service["metadata"]["name"]


def _addresses_of(service: Json | None) -> list[str]:
    addresses = service["spec"].get("clusterIPs", []) if service else []
    return [address for address in addresses if address != HEADLESS]
