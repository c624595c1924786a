"""What a Service may not say; the rules are those of the API reference, the messages those that its users know."""

from kproxy.apiserver.admission.formats import (
    cidr_error,
    dns1123_label_error,
    dns1123_subdomain_error,
    label_value_error,
    port_name_error,
    port_number_error,
    qualified_name_error,
    special_ip_error,
)
from kproxy.apiserver.admission.service_addresses import HEADLESS
from kproxy.apiserver.admission.service_defaults import (
    NODE_PORT_TYPES,
    externally_accessible,
    wants_health_check_port,
)
from kproxy.apiserver.errors import FieldError, Json

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
AFFINITIES = ("ClientIP", "None")
PROTOCOLS = ("SCTP", "TCP", "UDP")
POLICIES = ("Cluster", "Local")
FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
FAMILIES = ("IPv4", "IPv6")
TRAFFIC_DISTRIBUTIONS = ("PreferClose", "PreferSameNode", "PreferSameZone")
MAX_AFFINITY_SECONDS = 86400


def validate_request(spec: Json) -> list[FieldError]:
    """The faults that must be found before anything is allocated: unknown types, policies and families."""
    errors = []
    choices = (
        ("type", TYPES),
        ("sessionAffinity", AFFINITIES),
        ("internalTrafficPolicy", POLICIES),
        ("externalTrafficPolicy", POLICIES),
        ("ipFamilyPolicy", FAMILY_POLICIES),
        ("trafficDistribution", TRAFFIC_DISTRIBUTIONS),
    )
    for field, supported in choices:
        if spec.get(field) and spec[field] not in supported:
            errors.append(FieldError.unsupported(f"spec.{field}", spec[field], supported))
    families = spec.get("ipFamilies", [])
    for index, family in enumerate(families):
        if family not in FAMILIES:
            errors.append(FieldError.unsupported(f"spec.ipFamilies[{index}]", family, FAMILIES))
        elif family in families[:index]:
            errors.append(FieldError.duplicate(f"spec.ipFamilies[{index}]", family))
    addresses = spec.get("clusterIPs", [])
    if len(addresses) > 2:
        errors.append(FieldError.too_many("spec.clusterIPs", len(addresses), 2))
    if addresses and (spec.get("clusterIP") or "") != addresses[0]:
        errors.append(FieldError.invalid("spec.clusterIPs", addresses, "first value must match `clusterIP`"))
    if HEADLESS in addresses and len(addresses) > 1:
        errors.append(FieldError.invalid("spec.clusterIPs", addresses, "'None' must be the first and only value"))
    return errors + _ports(spec)


def validate_service(service: Json, old: Json | None) -> list[FieldError]:
    """The faults of a prepared Service."""
    spec = service["spec"]
    errors = []
    for key, value in spec.get("selector", {}).items():
        if problem := qualified_name_error(key):
            errors.append(FieldError.invalid("spec.selector", key, problem))
        if problem := label_value_error(value):
            errors.append(FieldError.invalid("spec.selector", value, problem))
    if spec["type"] == "ExternalName":
        name = spec.get("externalName", "").removesuffix(".")
        if not name:
            errors.append(FieldError.required("spec.externalName"))
        elif problem := dns1123_subdomain_error(name):
            errors.append(FieldError.invalid("spec.externalName", name, problem))
        errors += [
            FieldError.forbidden(f"spec.{field}", "may not be set for ExternalName services")
            for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
            if spec.get(field)
        ]
    errors += _affinity(spec) + _outside(spec)
    if old is not None and spec["type"] != "ExternalName" and old["spec"]["type"] != "ExternalName":
        before, now = old["spec"].get("clusterIPs", []), spec.get("clusterIPs", [])
        if before[:1] != now[:1]:
            errors.append(FieldError.invalid("spec.clusterIPs[0]", now, "may not change once set"))
        elif len(before) > 1 and len(now) > 1 and before[1] != now[1]:
            errors.append(FieldError.invalid("spec.clusterIPs[1]", now, "may not change once set"))
    return errors


def _ports(spec: Json) -> list[FieldError]:
    errors = []
    ports = spec.get("ports", [])
    headless = spec.get("clusterIP") == HEADLESS
    if not ports and not headless and spec["type"] != "ExternalName":
        errors.append(FieldError.required("spec.ports"))
    if headless and spec["type"] in NODE_PORT_TYPES:
        detail = f"may not be set to 'None' for {spec['type']} services"
        errors.append(FieldError.invalid("spec.clusterIPs[0]", HEADLESS, detail))
    names: set[str] = set()
    numbers: set[tuple[str, int]] = set()
    node_ports: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        errors += _port(spec, port, path, named=len(ports) > 1)
        name, key = port.get("name", ""), (port["protocol"], port.get("port", 0))
        if name and name in names:
            errors.append(FieldError.duplicate(f"{path}.name", name))
        if key in numbers:
            errors.append(FieldError.duplicate(path, f"{key[0]}/{key[1]}"))
        node_port = (port["protocol"], port.get("nodePort", 0))
        if node_port[1] and node_port in node_ports:
            errors.append(FieldError.duplicate(f"{path}.nodePort", node_port[1]))
        names.add(name)
        numbers.add(key)
        node_ports.add(node_port)
    return errors


def _port(spec: Json, port: Json, path: str, *, named: bool) -> list[FieldError]:
    errors = []
    name = port.get("name", "")
    if named and not name:
        errors.append(FieldError.required(f"{path}.name"))
    elif name and (problem := dns1123_label_error(name)):
        errors.append(FieldError.invalid(f"{path}.name", name, problem))
    if problem := port_number_error(port.get("port", 0)):
        errors.append(FieldError.invalid(f"{path}.port", port.get("port", 0), problem))
    if port["protocol"] not in PROTOCOLS:
        errors.append(FieldError.unsupported(f"{path}.protocol", port["protocol"], PROTOCOLS))
    target = port["targetPort"]
    problem = port_number_error(target) if isinstance(target, int) else port_name_error(target)
    if problem and target != port.get("port", 0):
        errors.append(FieldError.invalid(f"{path}.targetPort", target, problem))
    if port.get("appProtocol") and (problem := qualified_name_error(port["appProtocol"])):
        errors.append(FieldError.invalid(f"{path}.appProtocol", port["appProtocol"], problem))
    if port.get("nodePort") and spec["type"] not in NODE_PORT_TYPES:
        detail = f"may not be used when `type` is '{spec['type']}'"
        errors.append(FieldError.forbidden(f"{path}.nodePort", detail))
    return errors


def _affinity(spec: Json) -> list[FieldError]:
    config = spec.get("sessionAffinityConfig")
    if spec["sessionAffinity"] == "None":
        if config:
            detail = "must not be set when session affinity is None"
            return [FieldError.forbidden("spec.sessionAffinityConfig", detail)]
        return []
    seconds = config["clientIP"]["timeoutSeconds"] if config else 0
    if not 1 <= seconds <= MAX_AFFINITY_SECONDS:
        field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
        return [FieldError.invalid(field, seconds, f"must be greater than 0 and less than {MAX_AFFINITY_SECONDS}")]
    return []


def _outside(spec: Json) -> list[FieldError]:
    errors = []
    for index, address in enumerate(spec.get("externalIPs", [])):
        if problem := special_ip_error(address):
            errors.append(FieldError.invalid(f"spec.externalIPs[{index}]", address, problem))
    ranges = spec.get("loadBalancerSourceRanges", [])
    if ranges and spec["type"] != "LoadBalancer":
        detail = "may only be used when `type` is 'LoadBalancer'"
        errors.append(FieldError.forbidden("spec.loadBalancerSourceRanges", detail))
    for index, text in enumerate(ranges):
        if problem := cidr_error(text.strip()):
            errors.append(FieldError.invalid(f"spec.loadBalancerSourceRanges[{index}]", text, problem))
    if spec.get("externalTrafficPolicy") and not externally_accessible(spec):
        detail = "may only be set for externally-accessible services"
        errors.append(FieldError.invalid("spec.externalTrafficPolicy", spec["externalTrafficPolicy"], detail))
    if spec.get("healthCheckNodePort") and not wants_health_check_port(spec):
        detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errors.append(FieldError.invalid("spec.healthCheckNodePort", spec["healthCheckNodePort"], detail))
    errors += [
        FieldError.forbidden(f"spec.{field}", "may only be used when `type` is 'LoadBalancer'")
        for field in ("allocateLoadBalancerNodePorts", "loadBalancerClass")
        if spec.get(field) is not None and spec["type"] != "LoadBalancer"
    ]
    return errors
