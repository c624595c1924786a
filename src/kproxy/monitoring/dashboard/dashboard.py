"""The dashboard as a whole."""

import msgspec

from kproxy.monitoring.dashboard.following import overview, programming, syncs
from kproxy.monitoring.dashboard.kernel import rules, traffic
from kproxy.monitoring.dashboard.layout import arrange
from kproxy.monitoring.dashboard.model import Dashboard, DataSource, Templating, Variable
from kproxy.monitoring.dashboard.process import api, process, userspace
from kproxy.monitoring.settings import Settings

_KNOWN_BY = "kubeproxy_sync_proxy_rules_last_timestamp_seconds"
"""A metric that every proxy has, and nothing else."""


def dashboard(settings: Settings) -> Dashboard:
    """For kproxy and kube-proxy, of as many nodes as the variables choose."""
    sections = (
        overview(settings),
        syncs(),
        programming(settings),
        rules(),
        traffic(),
        api(),
        process(),
        userspace(),
    )
    return Dashboard(
        uid="kube-proxy-perf",
        title="Service proxies",
        description="Syncs, programming latency, rules and connection tracking of kproxy and kube-proxy.",
        tags=("kubernetes", "kube-proxy"),
        templating=Templating(list=_variables()),
        panels=tuple(arrange(sections)),
    )


def to_json(made: Dashboard) -> str:
    """As a file; the same bytes for the same dashboard."""
    return msgspec.json.format(msgspec.json.encode(made), indent=2).decode() + "\n"


def _variables() -> tuple[Variable, ...]:
    return (
        Variable(name="datasource", label="Prometheus", type="datasource", query="prometheus"),
        Variable(
            name="job",
            label="Job",
            type="query",
            query=f"label_values({_KNOWN_BY}, job)",
            datasource=DataSource(),
            multi=True,
            include_all=True,
            refresh=2,
            sort=1,
        ),
        Variable(
            name="instance",
            label="Node",
            type="query",
            query=f'label_values({_KNOWN_BY}{{job=~"$job"}}, instance)',
            datasource=DataSource(),
            multi=True,
            include_all=True,
            all_value=".*",
            refresh=2,
            sort=1,
        ),
    )
