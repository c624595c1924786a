"""Prometheus' rules, and the form of the files that hold them."""

from collections.abc import Sequence
from enum import StrEnum
from typing import TypeAlias

import msgspec

INTERVAL = 30
"""Seconds from one evaluation of a rule to the next."""


class Severity(StrEnum):
    """What an alert asks of people, in the words of Kubernetes' own rules."""

    CRITICAL = "critical"
    """Someone has to look now: traffic is lost, or about to be."""
    WARNING = "warning"
    """Someone has to look during the day."""


class Recording(msgspec.Struct, frozen=True, omit_defaults=True):
    """A series that is computed from others; named level:metric:operation, as Prometheus' manual asks."""

    record: str
    expr: str


class Annotations(msgspec.Struct, frozen=True):
    """Texts for people; both may have templates, such as `{{ $labels.instance }}`."""

    summary: str
    """What is wrong, in a few words."""
    description: str
    """Where, how much, what it means for traffic, and what to do."""


class Alert(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A condition that people are told of."""

    alert: str
    expr: str
    for_: str = msgspec.field(name="for", default="0s")
    """How long the condition has to hold."""
    labels: dict[str, str]
    annotations: Annotations


Rule: TypeAlias = Recording | Alert


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Rules that are evaluated one after the other."""

    name: str
    interval: str
    rules: Sequence[Rule]


class RuleFile(msgspec.Struct, frozen=True):
    """What Prometheus' `rule_files` name."""

    groups: Sequence[Group]

    def alerts(self) -> list[Alert]:
        """All alerts, in their order."""
        return [rule for group in self.groups for rule in group.rules if isinstance(rule, Alert)]

    def recordings(self) -> list[Recording]:
        """All recording rules, in their order."""
        return [rule for group in self.groups for rule in group.rules if isinstance(rule, Recording)]


def alert(name: str, severity: Severity, expr: str, *, lasting: str, summary: str, description: str) -> Alert:
    """An alert without labels other than its severity."""
    return Alert(
        alert=name,
        expr=expr,
        for_=lasting,
        labels={"severity": severity.value},
        annotations=Annotations(summary, description),
    )
