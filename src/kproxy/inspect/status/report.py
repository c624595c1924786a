"""The report of `kproxy status`, as programs get it."""

import msgspec

from kproxy.inspect.status.histograms import Durations


class Report(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Part of the report; a value."""


class Sync(Report, frozen=True, kw_only=True):
    """How one IP family's rules are kept up to date. Ages and durations are in seconds."""

    family: str
    age: float | None
    """Since the last successful sync."""
    pending: bool
    """A sync has been queued since."""
    all: Durations | None
    full: Durations | None
    partial: Durations | None


class Changes(Report, frozen=True, kw_only=True):
    """Since the proxy started, or not yet in the rules."""

    services: int
    endpoints: int


class Failure(Report, frozen=True, kw_only=True):
    """A counter of failed syncs that is not zero."""

    metric: str
    count: int


class Objects(Report, frozen=True, kw_only=True):
    """What the API holds for this node."""

    source: str
    services: int
    ports: int
    endpoints: int
    without_endpoints: tuple[str, ...]
    """Services with no endpoint that takes traffic."""
    problems: tuple[str, ...]


class Conntrack(Report, frozen=True, kw_only=True):
    """The connection tracking table."""

    entries: int
    limit: int

    @property
    def share(self) -> float:
        return self.entries / self.limit if self.limit else 0.0


class Health(Report, frozen=True, kw_only=True):
    """What `/healthz` answers."""

    healthy: bool
    status: int | None
    """The HTTP status; None when nothing answers."""
    node_eligible: bool | None
    detail: str


class Drift(Report, frozen=True, kw_only=True):
    """How far the kernel is from the desired state."""

    compared: bool
    differences: int
    examples: tuple[str, ...]
    reason: str = ""
    """Why nothing was compared."""


class Stale(Report, frozen=True, kw_only=True):
    """Rules that do not belong to the running mode."""

    mode: str
    owner: str
    evidence: tuple[str, ...]


class Status(Report, frozen=True, kw_only=True):
    """A node's proxy at one moment."""

    node: str
    mode: str | None
    proxy: str | None
    """`kproxy`, `kube-proxy`, or both where the rules do not tell."""
    running: bool
    evidence: tuple[str, ...]
    configuration: str
    """Where it was read from."""
    syncs: tuple[Sync, ...]
    changes: Changes | None
    pending: Changes | None
    failures: tuple[Failure, ...]
    objects: Objects | None
    kernel: dict[str, int]
    """How many of each kind of object the mode has there."""
    conntrack: Conntrack | None
    health: Health
    drift: Drift
    stale: tuple[Stale, ...]
    problems: tuple[str, ...]
    """What could not be found out, and why."""

    @property
    def fine(self) -> bool:
        """Nothing in it asks for attention."""
        return (
            self.mode is not None
            and self.running
            and self.health.healthy
            and not self.stale
            and not self.drift.differences
            and (self.conntrack is None or self.conntrack.share < CONNTRACK_NEARLY_FULL)
        )


CONNTRACK_NEARLY_FULL = 0.8
