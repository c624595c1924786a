"""What a trace tells, as programs get it."""

from typing import Literal

import msgspec

FateName = Literal["redirected", "unchanged", "local", "dropped", "rejected"]
Confidence = Literal["high", "low"]
ViewName = Literal["desired", "actual", "live"]
SEES_ITSELF = "the endpoint is the client, and gets its own address as the source, which hosts take for forged"
"""A warning."""


class Because(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is responsible: a Kubernetes object and its field, or a setting of the proxy."""

    object: str
    field: str = ""
    value: str = ""

    def __str__(self) -> str:
        words = f"{self.object}: {self.field}" if self.field else self.object
        return f"{words}: {self.value}" if self.value else words


class TraceStep(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that happens to the packet."""

    text: str
    because: Because | None = None
    where: str = ""
    """Table and chain."""
    rule: str = ""


class TraceOutcome(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One way that the packet may end."""

    fate: FateName
    probability: float
    endpoint: str = ""
    """Address and port, of a packet that is redirected."""
    endpoint_name: str = ""
    """The pod and node behind it, as far as the API tells."""
    source: str = ""
    """The source address that the receiver sees; empty: not known, or there is no receiver."""
    masqueraded: bool = False
    because: Because | None = None
    steps: tuple[TraceStep, ...] = ()
    """What happens on this way alone."""
    warning: str = ""


class NotUnderstood(msgspec.Struct, frozen=True):
    """A rule that the packet reaches and that was passed over, as its meaning is not known here."""

    where: str
    rule: str
    reason: str


class View(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What happens to the packet, according to one source of truth."""

    name: ViewName
    origin: str
    """Where it was read, in words."""
    steps: tuple[TraceStep, ...] = ()
    """What happens in any case, in order."""
    outcomes: tuple[TraceOutcome, ...] = ()
    by_history: bool = False
    """Which of the endpoints it is depends on what the client did before: shares are those of new clients."""
    confidence: Confidence = "high"
    not_understood: tuple[NotUnderstood, ...] = ()
    notes: tuple[str, ...] = ()


class Trace(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The answer of `kproxy trace`."""

    source: str
    destination: str
    port: int
    protocol: str
    mode: str = ""
    views: tuple[View, ...] = ()
    disagreements: tuple[str, ...] = ()
    """Where two views say different things."""
    problems: tuple[str, ...] = ()
    """What could not be read or was left out."""

    def view(self, name: ViewName) -> View | None:
        return next((view for view in self.views if view.name == name), None)
