"""Recorded counts, and what may be above them before it is a regression."""

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from kproxy.bench.guard.workloads import IN_NAMESPACE, WORKLOADS, Counts
from kproxy.lab.namespaces import Namespace

FILE: Final = Path(__file__).with_name("budgets.json")
_OF_THE_INTERPRETER: Final = ("instructions", "calls", "modules", "system calls")
"""Counts that another version of Python, or of a library, changes."""
_TOLERANCE: Final = 0.05
"""Of those: hashes of strings differ from process to process, and with them the order and the work of sets."""


class Budgets(msgspec.Struct, frozen=True):
    python: str
    """Version that counts of the interpreter are of, such as 3.11."""
    budgets: dict[str, dict[str, int]]
    """By workload, then by what is counted."""


class Finding(NamedTuple):
    workload: str
    what: str
    counted: int
    budget: int | None
    """None where none is recorded, or not for this version of Python."""

    @property
    def kept(self) -> bool:
        if self.budget is None:
            return True
        return self.counted <= self.budget * (1 + _TOLERANCE if _of_the_interpreter(self.what) else 1)


def load(path: Path = FILE) -> Budgets:
    """The recorded budgets; raises OSError or msgspec.DecodeError."""
    return msgspec.json.decode(path.read_bytes(), type=Budgets)


def record(counts: Mapping[str, Counts], path: Path = FILE) -> None:
    """Make what was counted the budget; raises OSError."""
    budgets = Budgets(_python(), {name: dict(sorted(found.items())) for name, found in counts.items()})
    path.write_bytes(msgspec.json.format(msgspec.json.encode(budgets), indent=1) + b"\n")


def count(name: str) -> Counts:
    """Run a workload.

    Raises:
        OSError: it needs a network namespace, and none may be made
    """
    workload = WORKLOADS[name]
    if not name.startswith(IN_NAMESPACE):
        return workload()
    with Namespace("guard") as namespace:
        return namespace.run(workload)


def judge(name: str, counts: Counts, budgets: Budgets) -> list[Finding]:
    """Hold a workload's counts against their budgets."""
    recorded = budgets.budgets.get(name, {})
    same_python = budgets.python == _python()
    return [
        Finding(name, what, found, recorded.get(what) if same_python or not _of_the_interpreter(what) else None)
        for what, found in sorted(counts.items())
    ]


def _of_the_interpreter(what: str) -> bool:
    return what.startswith(_OF_THE_INTERPRETER)


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])
