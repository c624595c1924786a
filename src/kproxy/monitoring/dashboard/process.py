"""The process: sections on its API server, on what it uses, and on userspace mode."""

from kproxy.monitoring.dashboard.layout import Section
from kproxy.monitoring.dashboard.panels import Chart, Limits, Query
from kproxy.monitoring.dashboard.queries import rate, select


def api() -> Section:
    """Whether the proxy hears of changes."""
    return Section(
        "API server",
        (
            Chart(
                "Requests",
                "A second, by code.",
                (Query(f"sum by (code, method) ({rate('rest_client_requests_total')})", "{{method}} {{code}}"),),
                "cps",
                width=6,
            ),
            Chart(
                "Last heard of",
                "How long ago; the server says at least once a minute that nothing changed. kproxy only.",
                (Query(select("kproxy_watch_age_seconds"), "{{instance}} {{resource}}"),),
                "s",
                limits=Limits(300, 900),
                width=6,
            ),
            Chart(
                "Relists",
                "Within an hour. kproxy only.",
                (Query(f"increase({select('kproxy_relists_total')}[1h])", "{{instance}} {{resource}}"),),
                limits=Limits(5),
                width=6,
            ),
            Chart(
                "Failed lists and watches",
                "Within an hour. kproxy only.",
                (Query(f"increase({select('kproxy_watch_failures_total')}[1h])", "{{instance}} {{resource}}"),),
                width=6,
            ),
        ),
    )


def process() -> Section:
    """What the proxy uses."""
    return Section(
        "Process",
        (
            Chart("CPU", "Cores.", (Query(rate("process_cpu_seconds_total"), "{{instance}}"),), width=6),
            Chart(
                "Memory",
                "Resident.",
                (Query(select("process_resident_memory_bytes"), "{{instance}}"),),
                "bytes",
                width=6,
            ),
            Chart(
                "Answers of /healthz",
                "A second, by code. 503: the rules lag, or the node leaves.",
                (Query(f"sum by (code) ({rate('kubeproxy_proxy_healthz_total')})", "{{code}}"),),
                "cps",
                width=6,
            ),
            Chart(
                "Open files",
                "Of the process.",
                (Query(select("process_open_fds"), "{{instance}}"),),
                width=6,
            ),
        ),
    )


def userspace() -> Section:
    """What only userspace mode has."""
    prefix = "kproxy_userspace"
    refused, failed = f"{prefix}_connections_refused_total", f"{prefix}_connect_attempts_failed_total"
    return Section(
        "userspace mode",
        (
            Chart(
                "Open connections",
                "And UDP flows.",
                (Query(select(f"{prefix}_connections"), "{{instance}} {{protocol}}"),),
            ),
            Chart(
                "Connections refused",
                "A second, by reason.",
                (Query(rate(refused), "{{instance}} {{reason}}"),),
                "cps",
            ),
            Chart(
                "Endpoints that failed", "Attempts a second.", (Query(rate(failed), "{{instance}} {{reason}}"),), "cps"
            ),
        ),
        collapsed=True,
    )
