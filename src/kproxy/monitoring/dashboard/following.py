"""Do the rules follow the cluster? Sections on all nodes at a glance, on syncs, and on programming latency."""

from kproxy.monitoring.dashboard.layout import Section
from kproxy.monitoring.dashboard.panels import Chart, Limits, Query, stat
from kproxy.monitoring.dashboard.queries import JOB, NODE, PROGRAMMING, SYNCS, lag, quantile, rate, select
from kproxy.monitoring.recordings import CONNTRACK, SYNC_P99, WINDOWS, slow_ratio
from kproxy.monitoring.settings import Settings


def overview(settings: Settings) -> Section:
    """Is all well?"""
    budget = 1 - settings.objective
    return Section(
        "Overview",
        (
            stat("Proxies up", "Targets that answer.", f"sum({select('up')})"),
            stat("Proxies down", "Targets that do not.", f"count({select('up')} == 0)", limits=Limits(1, 2)),
            stat(
                "Oldest rules",
                "The longest that a node's changes have waited.",
                f"max({lag()})",
                "s",
                Limits(60, 120),
            ),
            stat(
                "Changes too late (3 d)",
                f"The share of endpoint changes that took more than {settings.within:g} s; at most {budget:.6g} is "
                "the objective.",
                f"max({slow_ratio('3d')}{JOB})",
                "percentunit",
                Limits(budget / 2, budget),
            ),
            stat(
                "Services left out",
                "Refused by a kernel.",
                f"sum({select('kproxy_services_left_out')})",
                limits=Limits(1),
            ),
            stat(
                "Connection tracking",
                "The fullest table of all nodes.",
                f"max({CONNTRACK})",
                "percentunit",
                Limits(0.8, 0.95),
            ),
        ),
    )


def syncs() -> Section:
    """How long syncs take, and whether they work."""
    changes = (
        Query(rate(f"{SYNCS}_endpoint_changes_total"), "{{instance}} endpoints"),
        Query(rate(f"{SYNCS}_service_changes_total"), "{{instance}} Services"),
    )
    pending = (
        Query(select(f"{SYNCS}_endpoint_changes_pending"), "{{instance}} endpoints"),
        Query(select(f"{SYNCS}_service_changes_pending"), "{{instance}} Services"),
    )
    failures = tuple(
        Query(
            f"increase({select(f'{SYNCS}_{what}_failures_total')}[1h])", f"{{{{instance}}}} {{{{ip_family}}}} {legend}"
        )
        for what, legend in (
            ("iptables_restore", "iptables"),
            ("iptables_partial_restore", "iptables, partial"),
            ("nftables_sync", "nftables"),
            ("nftables_cleanup", "nftables, cleanup"),
        )
    )
    return Section(
        "Syncs",
        (
            Chart(
                "Sync duration, 99th percentile",
                "Of all syncs, by node. Beyond 16.384 s the histogram cannot tell.",
                (Query(quantile(0.99, f"{SYNCS}_duration_seconds", "instance", "ip_family"), NODE),),
                "s",
                limits=Limits(5, 16.384),
            ),
            Chart(
                "Sync duration, mean",
                "Full and partial syncs of all chosen nodes.",
                tuple(
                    Query(
                        f"sum({rate(f'kubeproxy_sync_{kind}_proxy_rules_duration_seconds_sum')})"
                        f" / sum({rate(f'kubeproxy_sync_{kind}_proxy_rules_duration_seconds_count')})",
                        kind,
                    )
                    for kind in ("full", "partial")
                ),
                "s",
            ),
            Chart(
                "Syncs",
                "A second, by node.",
                (Query(f"sum by (instance) ({rate(f'{SYNCS}_duration_seconds_count')})", "{{instance}}"),),
                "cps",
            ),
            Chart(
                "Age of the rules while changes wait",
                "0 while nothing waits.",
                (Query(lag(), NODE),),
                "s",
                limits=Limits(60, 120),
            ),
            Chart("Changes", "A second, by node.", changes, "cps"),
            Chart("Changes not in the rules yet", "By node.", pending),
            Chart("Failed syncs", "Within an hour, by node.", failures, limits=Limits(1, 3)),
            Chart(
                "Recorded 99th percentile",
                "What the alerts KubeProxySyncRulesSlow and KubeProxySyncRulesVerySlow look at.",
                (Query(f'{SYNC_P99}{{job=~"$job", instance=~"$instance"}}', NODE),),
                "s",
                limits=Limits(5, 16.384),
            ),
        ),
    )


def programming(settings: Settings) -> Section:
    """How soon a change of endpoints is in the rules, and how well the objective is kept."""
    budget = 1 - settings.objective
    return Section(
        "Programming latency: from a change of endpoints to the rules",
        (
            Chart(
                "Programming latency",
                "From the time that the EndpointSlice was changed for, until the rules had it; all chosen nodes.",
                tuple(Query(quantile(q, PROGRAMMING), f"p{q * 100:g}") for q in (0.5, 0.9, 0.99)),
                "s",
                limits=Limits(settings.within),
            ),
            Chart(
                "Programming latency by node, 99th percentile",
                "One slow node, or all of them?",
                (Query(quantile(0.99, PROGRAMMING, "instance"), "{{instance}}"),),
                "s",
                limits=Limits(settings.within),
            ),
            Chart(
                "Distribution",
                "Changes a second in each bucket.",
                (Query(f"sum by (le) ({rate(f'{PROGRAMMING}_bucket')})", "{{le}}"),),
                "s",
                "heatmap",
            ),
            Chart(
                "Share of changes too late",
                f"Took more than {settings.within:g} s, over several windows; the line is the objective.",
                tuple(Query(f"{slow_ratio(window)}{JOB}", f"{{{{job}}}} {window}") for window in WINDOWS),
                "percentunit",
                limits=Limits(budget),
                width=12,
            ),
            Chart(
                "Event to commit, in the proxy alone",
                "From the first event that a sync answers until the kernel has it; kproxy only.",
                tuple(
                    Query(quantile(q, "kproxy_event_to_commit_duration_seconds"), f"p{q * 100:g}") for q in (0.5, 0.99)
                ),
                "s",
                width=12,
            ),
        ),
    )
