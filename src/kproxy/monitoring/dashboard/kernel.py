"""What is in the kernel: sections on rules, and on connections."""

from kproxy.monitoring.dashboard.layout import Section
from kproxy.monitoring.dashboard.panels import Chart, Limits, Query
from kproxy.monitoring.dashboard.queries import NODE, SYNCS, quantile, rate, select
from kproxy.monitoring.recordings import CONNTRACK


def rules() -> Section:
    """What the proxy has in the kernel, and what others did to it."""
    return Section(
        "Rules in the kernel",
        (
            Chart(
                "Objects",
                "Elements of maps, rules of tables, virtual and real servers; the chosen node with most. kproxy only.",
                (Query(f"max by (kind, ip_family) ({select('kproxy_kernel_objects')})", "{{kind}} {{ip_family}}"),),
            ),
            Chart(
                "iptables rules",
                "The chosen node with most.",
                (Query(f"max by (table, ip_family) ({select(f'{SYNCS}_iptables_total')})", "{{table}} {{ip_family}}"),),
            ),
            Chart(
                "Written to the kernel",
                "Bytes a second. kproxy only.",
                (Query(f"sum by (instance) ({rate('kproxy_kernel_batch_bytes_sum')})", "{{instance}}"),),
                "bytes",
            ),
            Chart(
                "Objects in a sync",
                "Mean. kproxy only.",
                (
                    Query(
                        f"sum by (instance) ({rate('kproxy_kernel_batch_objects_sum')})"
                        f" / sum by (instance) ({rate('kproxy_kernel_batch_objects_count')})",
                        "{{instance}}",
                    ),
                ),
            ),
            Chart(
                "Repairs",
                "Comparisons within an hour that found the rules changed by others. kproxy only.",
                (Query(f"increase({select('kproxy_repairs_total')}[1h])", NODE),),
                limits=Limits(1, 3),
            ),
            Chart(
                "Services left out",
                "Refused by the kernel. kproxy only.",
                (Query(select("kproxy_services_left_out"), NODE),),
                limits=Limits(1),
            ),
        ),
    )


def traffic() -> Section:
    """What connections meet on the way."""
    return Section(
        "Traffic",
        (
            Chart(
                "Service ports without local endpoints",
                "Their traffic policy is Local, and all endpoints are elsewhere. Internal ones are unreachable from "
                "that node; external ones are for load balancers to avoid.",
                (
                    Query(
                        f"sum by (instance, traffic_policy) ({select(f'{SYNCS}_no_local_endpoints_total')})",
                        "{{instance}} {{traffic_policy}}",
                    ),
                ),
            ),
            Chart(
                "Connection tracking: used",
                "Of kproxy's node, or by the node exporter.",
                (Query(CONNTRACK, "{{instance}}"),),
                "percentunit",
                limits=Limits(0.8, 0.95),
                most=1,
            ),
            Chart(
                "Connection tracking: given up",
                "Packets dropped for want of room, flows evicted, insertions that clashed; a second. kproxy only.",
                (Query(rate("kproxy_conntrack_losses_total"), "{{instance}} {{reason}}"),),
                "cps",
            ),
            Chart(
                "Stale flows deleted",
                "Within an hour, as their endpoint was gone.",
                (Query(f"increase({select('kubeproxy_conntrack_reconciler_deleted_entries_total')}[1h])", NODE),),
            ),
            Chart(
                "Search for stale flows, 99th percentile",
                "It walks the table of connection tracking.",
                (
                    Query(
                        quantile(0.99, "kubeproxy_conntrack_reconciler_sync_duration_seconds", "instance"),
                        "{{instance}}",
                    ),
                ),
                "s",
            ),
            Chart(
                "Invalid packets dropped",
                "By the iptables rule for packets that connection tracking takes for invalid; a second.",
                (Query(rate("kubeproxy_iptables_ct_state_invalid_dropped_packets_total"), "{{instance}}"),),
                "cps",
            ),
        ),
    )
