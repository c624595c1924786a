"""All rules together, as Prometheus reads them, and as the Prometheus operator does."""

from collections.abc import Sequence
from typing import Any

import msgspec
import yaml

from kproxy.monitoring.alerts.api import api_alerts
from kproxy.monitoring.alerts.availability import availability_alerts
from kproxy.monitoring.alerts.conntrack import conntrack_alerts
from kproxy.monitoring.alerts.programming import programming_alerts
from kproxy.monitoring.alerts.services import service_alerts
from kproxy.monitoring.alerts.syncs import sync_alerts
from kproxy.monitoring.recordings import conntrack_recordings, programming_recordings, sync_recordings
from kproxy.monitoring.rules import INTERVAL, Group, Rule, RuleFile
from kproxy.monitoring.settings import Settings


def rule_file(settings: Settings) -> RuleFile:
    """All rules; each recording precedes what uses it within its group, as groups are evaluated side by side."""
    groups: dict[str, Sequence[Rule]] = {
        "kube-proxy.rules": [*sync_recordings(settings), *conntrack_recordings()],
        "kube-proxy-programming.rules": programming_recordings(settings),
        "kube-proxy-availability.alerts": availability_alerts(settings),
        "kube-proxy-syncs.alerts": sync_alerts(settings),
        "kube-proxy-programming.alerts": programming_alerts(settings),
        "kube-proxy-services.alerts": service_alerts(settings),
        "kube-proxy-conntrack.alerts": conntrack_alerts(),
        "kube-proxy-api.alerts": api_alerts(settings),
    }
    return RuleFile([Group(name=name, interval=f"{INTERVAL}s", rules=rules) for name, rules in groups.items()])


def to_yaml(tree: object) -> str:
    """A document in YAML, expressions and texts of many lines as blocks; the same bytes for the same tree."""
    builtins: Any = msgspec.to_builtins(tree)
    return yaml.dump(builtins, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _string(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _string)
