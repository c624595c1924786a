"""All checks of a node."""

from kproxy.inspect.doctor.checks import (
    balancing,
    client_addresses,
    clock_skew,
    conntrack,
    firewall,
    iptables_variants,
    ipvs,
    kernel_settings,
    networks,
    node_ports,
    proxy,
    service_endpoints,
)
from kproxy.inspect.doctor.examination import Check

CHECKS = (
    Check("proxy-running", "does a proxy run here, and is it healthy?", proxy.not_running),
    Check("two-proxies", "is it the only one?", proxy.several),
    Check("slow-syncs", "do changes arrive in time?", proxy.slow),
    Check("failed-syncs", "has the kernel refused any?", proxy.failing),
    Check("stale-rules", "are there rules of a mode that does not run?", proxy.stale_rules),
    Check("iptables-variants", "do all rules use one variant of iptables?", iptables_variants.mixed),
    Check("no-endpoints", "does every Service have endpoints?", service_endpoints.no_endpoints, needs_objects=True),
    Check("selector", "does every selector match pods?", service_endpoints.selector, needs_objects=True),
    Check("ports", "does every Service port lead to a port of its pods?", service_endpoints.ports, needs_objects=True),
    Check(
        "local-policy",
        "do Local policies find endpoints on this node?",
        service_endpoints.local_policy,
        needs_objects=True,
    ),
    Check("source-ranges", "do source ranges say what is meant?", client_addresses.source_ranges, needs_objects=True),
    Check("source-address", "do pods see their clients' addresses?", client_addresses.lost),
    Check("conntrack-full", "is there room for new connections?", conntrack.full),
    Check("ip-forward", "does the node forward packets?", kernel_settings.ip_forward),
    Check("rp-filter", "does the reverse path filter drop packets?", kernel_settings.reverse_path),
    Check("bridge-nf-call", "do packets on bridges pass the rules?", kernel_settings.bridge_netfilter),
    Check("forward-policy", "do other firewalls let pods' packets pass?", firewall.forward_policy),
    Check("mtu", "do packets of pods fit through the links?", networks.mtu),
    Check("overlapping-networks", "does every address mean one thing?", networks.overlapping),
    Check("ipvs-modules", "does the kernel have what IPVS mode needs?", ipvs.modules),
    Check("strict-arp", "does only one node answer for MetalLB's addresses?", ipvs.strict_arp, needs_objects=True),
    Check("node-port-addresses", "do NodePorts answer where clients ask?", node_ports.addresses, needs_objects=True),
    Check("node-port-firewall", "do firewalls let NodePorts pass?", firewall.node_ports, needs_objects=True),
    Check("node-port-taken", "does a program wait on a NodePort?", node_ports.taken, needs_objects=True),
    Check(
        "local-port-range", "are NodePorts kept from outgoing connections?", node_ports.local_range, needs_objects=True
    ),
    Check("uneven-balancing", "are connections spread evenly?", balancing.uneven, needs_objects=True),
    Check("clock-skew", "do the clocks of node and API server agree?", clock_skew.skewed, needs_clock=True),
)
