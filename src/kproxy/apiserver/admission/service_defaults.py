"""The values that a Service gets where its author gave none, as the API documents them, field by field."""

from kproxy.apiserver.admission.strategy import spec_of
from kproxy.apiserver.errors import Json

CLIENT_IP_TIMEOUT_SECONDS = 10800

NODE_PORT_TYPES = ("NodePort", "LoadBalancer")


def externally_accessible(spec: Json) -> bool:
    """Whether traffic from outside the cluster can be meant for this Service."""
    return spec["type"] in NODE_PORT_TYPES or (spec["type"] == "ClusterIP" and bool(spec.get("externalIPs")))


def wants_node_ports(spec: Json) -> bool:
    if spec["type"] == "LoadBalancer":
        return spec.get("allocateLoadBalancerNodePorts") is not False
    return bool(spec["type"] == "NodePort")


def wants_health_check_port(spec: Json) -> bool:
    return bool(spec["type"] == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local")


def set_service_defaults(service: Json) -> None:
    """Set all defaults that do not depend on what is allocated."""
    spec = spec_of(service)
    if not spec.get("type"):
        spec["type"] = "ClusterIP"
    if not spec.get("sessionAffinity"):
        spec["sessionAffinity"] = "None"
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    if spec["sessionAffinity"] == "ClientIP":
        client_ip = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        client_ip.setdefault("timeoutSeconds", CLIENT_IP_TIMEOUT_SECONDS)
    for port in spec.get("ports", []):
        port["protocol"] = port.get("protocol") or "TCP"
        port["targetPort"] = port.get("targetPort") or port.get("port", 0)
        if port.get("nodePort") == 0:
            del port["nodePort"]
    if externally_accessible(spec) and not spec.get("externalTrafficPolicy"):
        spec["externalTrafficPolicy"] = "Cluster"
    if spec["type"] in ("ClusterIP", *NODE_PORT_TYPES) and not spec.get("internalTrafficPolicy"):
        spec["internalTrafficPolicy"] = "Cluster"
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    for ingress in service.get("status", {}).get("loadBalancer", {}).get("ingress", []):
        if spec["type"] == "LoadBalancer" and ingress.get("ip"):
            ingress.setdefault("ipMode", "VIP")


def carry_over_allocated(spec: Json, old: Json) -> None:
    """Keep what was allocated to the old version where the new one, as a client wrote it, is silent."""
    if spec["type"] != "ExternalName" and old["type"] != "ExternalName":
        if not spec.get("clusterIP") and not spec.get("clusterIPs") and old.get("clusterIP"):
            spec["clusterIP"], spec["clusterIPs"] = old["clusterIP"], list(old["clusterIPs"])
        elif not spec.get("clusterIPs") and spec.get("clusterIP") == old.get("clusterIP") and old.get("clusterIPs"):
            spec["clusterIPs"] = list(old["clusterIPs"])
        if not spec.get("ipFamilies") and old.get("ipFamilies"):
            spec["ipFamilies"] = list(old["ipFamilies"])
        if not spec.get("ipFamilyPolicy") and old.get("ipFamilyPolicy"):
            spec["ipFamilyPolicy"] = old["ipFamilyPolicy"]
    if wants_node_ports(spec) and wants_node_ports(old):
        known = {(port["protocol"], port["port"]): port.get("nodePort") for port in old.get("ports", [])}
        taken = {port["nodePort"] for port in spec.get("ports", []) if port.get("nodePort")}
        for port in spec.get("ports", []):
            number = known.get((port["protocol"], port.get("port")))
            if number and not port.get("nodePort") and number not in taken:
                port["nodePort"] = number
    if wants_health_check_port(spec) and not spec.get("healthCheckNodePort") and old.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = old["healthCheckNodePort"]


def drop_for_new_type(spec: Json, old: Json) -> None:
    """Take out what belonged to the old version's type and was sent back unchanged under a new type or policy."""
    if wants_node_ports(old) and spec["type"] not in NODE_PORT_TYPES:
        allocated = {port.get("nodePort") for port in old.get("ports", [])}
        for port in spec.get("ports", []):
            if port.get("nodePort") in allocated:
                port.pop("nodePort", None)
    if spec["type"] == "ExternalName" and old["type"] != "ExternalName":
        for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            if spec.get(field) == old.get(field):
                spec.pop(field, None)
    if spec.get("ipFamilyPolicy") == "SingleStack" and old.get("ipFamilyPolicy") != "SingleStack":
        for field in ("clusterIPs", "ipFamilies"):
            if field in spec and spec[field] == old.get(field):
                spec[field] = spec[field][:1]
    stale = []
    if not wants_health_check_port(spec):
        stale.append("healthCheckNodePort")
    if spec["type"] != "LoadBalancer":
        stale += ["allocateLoadBalancerNodePorts", "loadBalancerClass"]
    if not externally_accessible(spec):
        stale.append("externalTrafficPolicy")
    for field in stale:
        if field in old and spec.get(field) == old[field]:
            del spec[field]
