"""Runs checks beside each other, each with a time limit; one that fails stops no other."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from kproxy.inspect.doctor.finding import Finding, Severity
from kproxy.inspect.doctor.view import NodeView

log = logging.getLogger(__name__)

DEFAULT_TIMEOUT = 20.0
Examine: TypeAlias = Callable[[NodeView], Iterable[Finding]]


class Check(NamedTuple):
    """One question about a node."""

    name: str
    question: str
    examine: Examine
    """Runs on a thread of its own; may block."""
    needs_objects: bool = False
    """It asks about objects of the API, and has no answer without them."""
    needs_clock: bool = False
    """It asks about an API server's clock."""

    def is_answerable(self, view: NodeView) -> bool:
        """What it asks about is there."""
        without_objects = self.needs_objects and view.desired is None
        return not without_objects and not (self.needs_clock and view.clock is None)


class Unanswered(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A check that came to no answer."""

    check: str
    reason: str


class Examination(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What all checks found, the worst first."""

    node: str
    mode: str | None
    findings: tuple[Finding, ...]
    passed: tuple[str, ...]
    """The names of the checks that found nothing."""
    skipped: tuple[str, ...]
    """The names of those that need objects or an API server, where there are none."""
    unanswered: tuple[Unanswered, ...]
    unknown: tuple[str, ...]
    """What could not be read, so that checks may have missed something."""

    @property
    def fine(self) -> bool:
        """Nothing was found that is more than a note."""
        return all(finding.severity is Severity.NOTE for finding in self.findings)


async def examine(view: NodeView, checks: Sequence[Check], seconds: float = DEFAULT_TIMEOUT) -> Examination:
    """Ask all checks about a node.

    Args:
        view: the node
        checks: what to ask
        seconds: after which a check is given up; its thread is left behind
    """
    asked = [check for check in checks if check.is_answerable(view)]
    answers = await asyncio.gather(*(_answer(check, view, seconds) for check in asked))
    findings = [finding for answer in answers if isinstance(answer, list) for finding in answer]
    return Examination(
        node=view.node,
        mode=view.detection.mode,
        findings=tuple(sorted(findings, key=lambda f: (f.severity.rank, f.check, f.subject))),
        passed=tuple(check.name for check, answer in zip(asked, answers, strict=True) if answer == []),
        skipped=tuple(check.name for check in checks if check not in asked),
        unanswered=tuple(answer for answer in answers if isinstance(answer, Unanswered)),
        unknown=view.problems,
    )


Answer: TypeAlias = list[Finding] | Unanswered


async def _answer(check: Check, view: NodeView, seconds: float) -> Answer:
    try:
        async with asyncio.timeout(seconds):
            return await _on_a_thread(check, view)
    except TimeoutError:
        return Unanswered(check=check.name, reason=f"no answer within {seconds:g} s")


def _on_a_thread(check: Check, view: NodeView) -> asyncio.Future[Answer]:
    """A daemon thread, which does not keep the program from ending when its check hangs."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Answer] = loop.create_future()

    def settle(answer: Answer) -> None:
        if not future.done():
            future.set_result(answer)

    def work() -> None:
        answer: Answer
        try:
            answer = list(check.examine(view))
        except Exception as error:  # whatever it is: the other checks' findings must be shown
            log.debug("check %s failed", check.name, exc_info=True)
            answer = Unanswered(check=check.name, reason=f"{type(error).__name__}: {error}")
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, answer)

    threading.Thread(target=work, name=f"check {check.name}", daemon=True).start()
    return future
