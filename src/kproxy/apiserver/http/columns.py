"""The columns that `kubectl get` shows for each kind, computed on the server as the API does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from kproxy.apiserver.errors import Json
from kproxy.apiserver.resources import ENDPOINT_SLICES, EVENTS, NAMESPACES, NODES, SERVICE_CIDRS, SERVICES, Resource

NONE = "<none>"
UNKNOWN = "<unknown>"
_MOST_SHOWN = 3

Cells: TypeAlias = Callable[[Json, datetime], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Columns:
    """A table's columns; those with an asterisk after their name are for `-o wide`."""

    names: tuple[str, ...]
    cells: Cells
    numeric: tuple[str, ...] = ()

    def definitions(self) -> list[Json]:
        """`meta/v1` TableColumnDefinitions."""
        return [
            {
                "name": name.rstrip("*"),
                "type": "integer" if name.rstrip("*") in self.numeric else "string",
                "format": "name" if name == "Name" else "",
                "description": "",
                "priority": 1 if name.endswith("*") else 0,
            }
            for name in self.names
        ]


def columns_of(resource: Resource) -> Columns:
    return _COLUMNS.get(resource.stored_as or resource.key, _DEFAULT)


def age(timestamp: str | None, now: datetime) -> str:
    """How long ago an RFC 3339 time was, as tersely as `kubectl` says it: `75s`, `3m20s`, `5h`, `2d3h`."""
    if not timestamp:
        return UNKNOWN
    try:
        then = datetime.fromisoformat(timestamp)
    except ValueError:
        return UNKNOWN
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return duration(int((now - then).total_seconds()))


def duration(seconds: int) -> str:
    """A duration in two units at most, the second one only where it matters."""
    if seconds < 0:
        return "0s" if seconds >= -1 else "<invalid>"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    return _two(days // 365, "y", days % 365, "d") if days < 8 * 365 else f"{days // 365}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def _age_of(obj: Json, now: datetime) -> str:
    return age(obj["metadata"].get("creationTimestamp"), now)


def _listed(values: Sequence[str], nothing: str) -> str:
    """The first few of some values."""
    if not values:
        return nothing
    shown = ",".join(values[:_MOST_SHOWN])
    return f"{shown} + {len(values) - _MOST_SHOWN} more..." if len(values) > _MOST_SHOWN else shown


def _service(service: Json, now: datetime) -> Sequence[Any]:
    spec = service["spec"]
    addresses = ",".join(spec.get("clusterIPs", [])[:1]) or spec.get("clusterIP") or NONE
    selector = ",".join(f"{key}={value}" for key, value in sorted(spec.get("selector", {}).items())) or NONE
    ports = ",".join(_port(port) for port in spec.get("ports", [])) or NONE
    name = service["metadata"]["name"]
    return name, spec["type"], addresses, _external(service), ports, _age_of(service, now), selector


def _external(service: Json) -> str:
    spec = service["spec"]
    addresses = list(spec.get("externalIPs", []))
    if spec["type"] == "ExternalName":
        return spec.get("externalName") or NONE
    if spec["type"] == "LoadBalancer":
        ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress", [])
        addresses = [entry.get("ip") or entry.get("hostname") or "" for entry in ingress] + addresses
        return ",".join(addresses) or "<pending>"
    return ",".join(addresses) or NONE


def _port(port: Json) -> str:
    node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port['port']}{node_port}/{port['protocol']}"


def _endpoint_slice(endpoint_slice: Json, now: datetime) -> Sequence[Any]:
    ports = [str(port["port"]) if port.get("port") else "*" for port in endpoint_slice.get("ports", [])]
    addresses = [address for endpoint in endpoint_slice.get("endpoints", []) for address in endpoint["addresses"]]
    shown = _listed(ports, "<unset>"), _listed(addresses, "<unset>")
    name = endpoint_slice["metadata"]["name"]
    return name, endpoint_slice.get("addressType", ""), *shown, _age_of(endpoint_slice, now)


def _node(node: Json, now: datetime) -> Sequence[Any]:
    status = node.get("status", {})
    info = status.get("nodeInfo", {})
    addresses = {entry["type"]: entry["address"] for entry in reversed(status.get("addresses", []))}
    ready = next((entry for entry in status.get("conditions", []) if entry.get("type") == "Ready"), None)
    state = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    if node.get("spec", {}).get("unschedulable"):
        state += ",SchedulingDisabled"
    prefix = "node-role.kubernetes.io/"
    labels = node["metadata"].get("labels", {})
    roles = sorted(label.removeprefix(prefix) for label in labels if label.startswith(prefix))
    return (
        *(node["metadata"]["name"], state, ",".join(roles) or NONE, _age_of(node, now)),
        *(info.get("kubeletVersion", ""), addresses.get("InternalIP", NONE), addresses.get("ExternalIP", NONE)),
        *(info.get(field) or UNKNOWN for field in ("osImage", "kernelVersion", "containerRuntimeVersion")),
    )


def _namespace(namespace: Json, now: datetime) -> Sequence[Any]:
    return namespace["metadata"]["name"], namespace.get("status", {}).get("phase", ""), _age_of(namespace, now)


def _event(event: Json, now: datetime) -> Sequence[Any]:
    involved, series = event.get("involvedObject", {}), event.get("series", {})
    first = event.get("firstTimestamp") or event.get("eventTime")
    last = series.get("lastObservedTime") or event.get("lastTimestamp") or first
    source = event.get("source", {}).get("component") or event.get("reportingComponent", "")
    host = event.get("source", {}).get("host")
    return (
        *(age(last, now), event.get("type", ""), event.get("reason", "")),
        f"{involved.get('kind', '').lower()}/{involved.get('name', '')}",
        *(involved.get("fieldPath", ""), f"{source}, {host}" if host else source),
        *(event.get("message", "").strip(), age(first, now), series.get("count") or event.get("count") or 1),
        event["metadata"]["name"],
    )


def _service_cidr(cidr: Json, now: datetime) -> Sequence[Any]:
    return cidr["metadata"]["name"], ",".join(cidr.get("spec", {}).get("cidrs", [])) or NONE, _age_of(cidr, now)


_DEFAULT = Columns(("Name", "Age"), lambda obj, now: (obj["metadata"]["name"], _age_of(obj, now)))
_COLUMNS = {
    SERVICES.key: Columns(("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "Selector*"), _service),
    ENDPOINT_SLICES.key: Columns(("Name", "AddressType", "Ports", "Endpoints", "Age"), _endpoint_slice),
    NODES.key: Columns(
        (
            *("Name", "Status", "Roles", "Age", "Version"),
            *("Internal-IP*", "External-IP*", "OS-Image*", "Kernel-Version*", "Container-Runtime*"),
        ),
        _node,
    ),
    NAMESPACES.key: Columns(("Name", "Status", "Age"), _namespace),
    EVENTS.key: Columns(
        (
            *("Last Seen", "Type", "Reason", "Object", "Subobject*"),
            *("Source*", "Message", "First Seen*", "Count*", "Name*"),
        ),
        _event,
        numeric=("Count",),
    ),
    SERVICE_CIDRS.key: Columns(("Name", "CIDRs", "Age"), _service_cidr),
}
