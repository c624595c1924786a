"""One Service that iptables refuses must not stop the others: which one is it?

iptables-restore names the line of a rule that it does not understand. The legacy variant hands the table to the
kernel as a whole, and all that it can say of a refusal there is that COMMIT failed.
"""

import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import NamedTuple, TypeAlias

from kproxy.backends.interface import Refused
from kproxy.backends.iptables.compile import NOTHING
from kproxy.backends.iptables.desired import Change, DesiredRules, has_line
from kproxy.backends.iptables.skeleton import TABLES
from kproxy.kernel.processes import ProcessError

MAX_REFUSED = 16
"""Services that one sync may leave out before it is given up: then it is not they that are wrong."""
_MAX_SHOWN = 200
"""Bytes of a line that an error repeats."""
_AT_LINE = re.compile(r"\bline:? (\d+)")


class RestoreRefusedError(Exception):
    """iptables-restore ran, and failed for what it read: for another input, the outcome may be another."""

    def __init__(self, error: ProcessError, line: bytes, committed: frozenset[str]) -> None:
        # A line's number depends on what else is written: in its place, the line.
        shown = f'"{line[:_MAX_SHOWN].decode(errors="replace")}"'
        super().__init__(_AT_LINE.sub("another line", _AT_LINE.sub(lambda _: shown, str(error), count=1)))
        self.line = line
        """The line that it complains of; `COMMIT` when that is no single rule."""
        self.committed = committed
        """The tables before that line, which have what they should."""


Write: TypeAlias = Callable[[Sequence[Change], Collection[str]], Awaitable[tuple[int, int]]]
"""Carries out changes together, in these tables; returns objects and bytes. Raises as `write_each` does."""


class Written(NamedTuple):
    """What came of changes."""

    objects: int
    bytes: int
    refused: tuple[Refused, ...]


def explain(error: ProcessError, commands: bytes) -> ProcessError | RestoreRefusedError:
    """Tell a run that failed for its input from one that failed for the lock, a signal or the time it took."""
    found = _AT_LINE.search(error.stderr)
    if found is None:
        return error
    lines, number = commands.splitlines(), int(found.group(1))
    line = lines[number - 1] if 0 < number <= len(lines) else b""
    before = [line[1:].decode() for line in lines[:number] if line.startswith(b"*")]
    return RestoreRefusedError(error, line, frozenset(before[:-1]))


async def write_each(changes: Sequence[Change], desired: DesiredRules, write: Write) -> Written:
    """Carry out changes, all together if possible, else without those that are refused: their Services go.

    Halves of what is refused are tried, and halves of these, unless a line is named: for one bad Service among n,
    about 2 log2(n) runs.

    Args:
        changes: from what the kernel holds; `desired` has their outcome already, and in the end the one that is real
        desired: what a change is a part of
        write: carries them out

    Raises:
        RestoreRefusedError: even without the Services that might be at fault, or there are too many of them
        ProcessError: iptables-restore failed for other reasons
    """
    objects = size = 0
    refused: list[Refused] = []
    gone: set[Change] = set()

    async def attempt(group: Sequence[Change]) -> None:
        nonlocal objects, size
        for change in group:
            desired.replace(change.name, change.new)
        try:
            written = await write(group, TABLES)
        except RestoreRefusedError as error:
            for change in group:
                desired.replace(change.name, change.old)
            if error.committed:
                await write([change.reversed() for change in group], error.committed)
            raise
        objects, size = objects + written[0], size + written[1]

    waiting = [changes]
    try:
        while waiting:
            group = waiting.pop()
            try:
                await attempt(group)
            except RestoreRefusedError as error:
                if len(group) > 1:
                    waiting += reversed(_divide(group, error.line))
                    continue
                if not group or group[0].new == NOTHING or len(refused) == MAX_REFUSED:
                    raise
                change = group[0]
                await attempt([change._replace(new=NOTHING)])
                gone.add(change)
                refused.append(Refused(change.name, str(error)))
    finally:
        for change in changes:
            desired.replace(change.name, NOTHING if change in gone else change.new)
    return Written(objects, size, tuple(refused))


def _divide(group: Sequence[Change], line: bytes) -> tuple[Sequence[Change], Sequence[Change]]:
    for i, change in enumerate(group):
        if has_line(change.new, line):
            return group[i : i + 1], [*group[:i], *group[i + 1 :]]
    half = len(group) // 2
    return group[:half], group[half:]
