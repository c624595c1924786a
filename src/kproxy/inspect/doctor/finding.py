"""What a check finds."""

import enum
import shlex

import msgspec


class Severity(enum.StrEnum):
    """How bad it is, the worst first."""

    CRITICAL = "critical"
    """Traffic is lost."""
    WARNING = "warning"
    """Traffic is lost in some cases, or will be."""
    NOTE = "note"
    """Works as configured, which may surprise. Does not count as a finding in the exit status."""

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)


class Finding(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One thing that is wrong."""

    check: str
    """The check's name."""
    severity: Severity
    subject: str
    """What it is about: an object of the API, an interface, the node."""
    evidence: tuple[str, ...]
    """What was seen, and where."""
    cause: str
    fixes: tuple[str, ...] = ()
    """Commands, one a line of a shell; where there are several, they are to be run in turn."""


def shell(*arguments: str) -> str:
    """A command as a person types it."""
    return shlex.join(arguments)


def kubectl_patch(kind: str, namespace: str, name: str, operations: list[dict[str, object]]) -> str:
    """The command that changes an object by a JSON patch (RFC 6902)."""
    patch = msgspec.json.encode(operations).decode()
    place = ["-n", namespace] if namespace else []
    return shell("kubectl", *place, "patch", kind, name, "--type=json", "-p", patch)


def sysctl(name: str, value: str) -> str:
    """The command that sets a kernel setting; `name` is its path below /proc/sys."""
    return shell("sysctl", "-w", f"{name}={value}")
