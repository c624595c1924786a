"""EndpointSlices: defaults, generation, validation."""

from kproxy.apiserver.admission.formats import (
    dns1123_label_error,
    dns1123_subdomain_error,
    family_of,
    label_value_error,
    port_number_error,
    qualified_name_error,
    special_ip_error,
)
from kproxy.apiserver.admission.service_validation import PROTOCOLS
from kproxy.apiserver.admission.strategy import Strategy
from kproxy.apiserver.errors import FieldError, Json

ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
MAX_ENDPOINTS = 1000
MAX_ADDRESSES = 100
MAX_PORTS = 20000
MAX_HINTS = 8


class EndpointSliceStrategy(Strategy):
    def prepare(self, obj: Json, old: Json | None) -> list[FieldError]:
        obj.setdefault("endpoints", [])
        for port in obj.setdefault("ports", []):
            port.setdefault("name", "")
            port.setdefault("protocol", "TCP")
        for endpoint in obj["endpoints"]:
            endpoint.pop("deprecatedTopology", None)
        meta = obj["metadata"]
        if old is None:
            meta["generation"] = 1
        else:
            generation = old["metadata"].get("generation", 1)
            meta["generation"] = generation + (_tracked(obj) != _tracked(old))
        return []

    def validate(self, obj: Json, old: Json | None) -> list[FieldError]:
        errors = []
        kind = obj.get("addressType", "")
        if not kind:
            errors.append(FieldError.required("addressType"))
        elif kind not in ADDRESS_TYPES:
            errors.append(FieldError.unsupported("addressType", kind, ADDRESS_TYPES))
        elif old is not None and kind != old["addressType"]:
            errors.append(FieldError.invalid("addressType", kind, "field is immutable"))
        if len(obj["endpoints"]) > MAX_ENDPOINTS:
            return [*errors, FieldError.too_many("endpoints", len(obj["endpoints"]), MAX_ENDPOINTS)]
        for index, endpoint in enumerate(obj["endpoints"]):
            errors += _endpoint(endpoint, f"endpoints[{index}]", kind)
        return errors + _ports(obj["ports"])


def _tracked(obj: Json) -> tuple[object, ...]:
    """What a change of moves the generation on."""
    meta = obj["metadata"]
    parts = (obj.get("endpoints"), obj.get("ports"), obj.get("addressType"))
    return (*parts, meta.get("labels") or {}, meta.get("annotations") or {})


def _endpoint(endpoint: Json, path: str, address_type: str) -> list[FieldError]:
    errors = []
    addresses = endpoint.get("addresses", [])
    if not addresses:
        errors.append(FieldError.required(f"{path}.addresses", "must contain at least 1 address"))
    elif len(addresses) > MAX_ADDRESSES:
        errors.append(FieldError.too_many(f"{path}.addresses", len(addresses), MAX_ADDRESSES))
    for index, address in enumerate(addresses[:MAX_ADDRESSES]):
        if problem := _address_error(address, address_type):
            errors.append(FieldError.invalid(f"{path}.addresses[{index}]", address, problem))
    if endpoint.get("nodeName") and (problem := dns1123_subdomain_error(endpoint["nodeName"])):
        errors.append(FieldError.invalid(f"{path}.nodeName", endpoint["nodeName"], problem))
    if endpoint.get("hostname") and (problem := dns1123_label_error(endpoint["hostname"])):
        errors.append(FieldError.invalid(f"{path}.hostname", endpoint["hostname"], problem))
    for field in ("forZones", "forNodes"):
        hints = endpoint.get("hints", {}).get(field, [])
        if len(hints) > MAX_HINTS:
            errors.append(FieldError.too_many(f"{path}.hints.{field}", len(hints), MAX_HINTS))
        names = [hint.get("name", "") for hint in hints]
        for index, name in enumerate(names):
            if not name or label_value_error(name):
                errors.append(FieldError.invalid(f"{path}.hints.{field}[{index}].name", name, "must be a label value"))
            elif name in names[:index]:
                errors.append(FieldError.duplicate(f"{path}.hints.{field}[{index}].name", name))
    return errors


def _address_error(address: str, address_type: str) -> str:
    if address_type == "FQDN":
        return dns1123_subdomain_error(address)
    if address_type not in ADDRESS_TYPES:
        return ""
    if family_of(address) != address_type:
        return f"must be a valid {address_type} address"
    return special_ip_error(address)


def _ports(ports: list[Json]) -> list[FieldError]:
    errors = []
    if len(ports) > MAX_PORTS:
        return [FieldError.too_many("ports", len(ports), MAX_PORTS)]
    names: set[str] = set()
    for index, port in enumerate(ports):
        path, name = f"ports[{index}]", port["name"]
        if name in names:
            errors.append(FieldError.duplicate(f"{path}.name", name))
        elif name and (problem := dns1123_label_error(name)):
            errors.append(FieldError.invalid(f"{path}.name", name, problem))
        names.add(name)
        if port["protocol"] not in PROTOCOLS:
            errors.append(FieldError.unsupported(f"{path}.protocol", port["protocol"], PROTOCOLS))
        if port.get("port") is not None and (problem := port_number_error(port["port"])):
            errors.append(FieldError.invalid(f"{path}.port", port["port"], problem))
        if port.get("appProtocol") and (problem := qualified_name_error(port["appProtocol"])):
            errors.append(FieldError.invalid(f"{path}.appProtocol", port["appProtocol"], problem))
    return errors
