"""What a check finds."""

import enum
import shlex
from typing import NamedTuple

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
    service: str = ""
    """NAMESPACE/NAME, where it is about one Service."""
    evidence: tuple[str, ...]
    """What was seen, and where."""
    cause: str
    fixes: tuple[str, ...] = ()
    """Commands that mend it, one a line of a shell; where there are several, they are to be run in turn."""
    look: tuple[str, ...] = ()
    """Commands that show more, and change nothing."""
    advice: str = ""
    """What a person has to do or to decide, in words: what no command can do, or what undoes the commands later."""


class Remedy(NamedTuple):
    """What to do about a finding, where that depends on the node."""

    evidence: tuple[str, ...] = ()
    """What else was seen."""
    fixes: tuple[str, ...] = ()
    look: tuple[str, ...] = ()
    advice: str = ""


def shell(*arguments: str) -> str:
    """A command as a person types it."""
    return shlex.join(arguments)


def kubectl_patch(kind: str, namespace: str, name: str, operations: list[dict[str, object]]) -> str:
    """The command that changes an object by a JSON patch (RFC 6902)."""
    patch = msgspec.json.encode(operations).decode()
    place = ["-n", namespace] if namespace else []
    return shell("kubectl", *place, "patch", kind, name, "--type=json", "-p", patch)


def sysctl(name: str, value: str) -> str:
    """The command that sets a kernel setting until the next boot; `name` is its path below /proc/sys."""
    return shell("sysctl", "-w", f"{name}={value}")


def lasting_sysctl(name: str, value: str) -> tuple[str, str]:
    """The commands that set a kernel setting now, and at every boot (sysctl.d(5))."""
    return sysctl(name, value), _append(f"{name} = {value}", "/etc/sysctl.d/kproxy-doctor.conf")


def lasting_modules(*names: str) -> tuple[str, ...]:
    """The commands that load kernel modules now, and at every boot (modules-load.d(5))."""
    lasting = (_append(name, "/etc/modules-load.d/kproxy-doctor.conf") for name in names)
    # Without -a, modprobe takes the second name for a parameter of the first.
    return shell("modprobe", "-a", *names), *lasting


def _append(line: str, path: str) -> str:
    return shell("sh", "-c", f"echo {shlex.join(line.split())} >> {path}")
