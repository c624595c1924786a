"""What clients met, beside what a scenario expects them to meet."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace

from kproxy.lab.expectation import Expectation, Table, Target
from kproxy.lab.lab import Lab
from kproxy.lab.probe import Result, Sample, empty_sample

CONCURRENCY = 64
FEWEST_TRIES = 16
"""Enough that a pod with a third of the answers that should not answer goes unseen once in 650 rows."""
MOST_TRIES = 64
"""Enough that a pod with a tenth of the answers is missed once in 850 rows."""
TRIES_FOR_FAILURE = 3
SILENCE = 0.25
"""Seconds without an answer that do for a row that expects none: a wrong answer comes in less than one."""


@dataclass(frozen=True)
class Difference:
    """A row of the table that does not hold."""

    target: Target
    expected: Expectation
    sample: Sample


class Observer:
    """Sends a scenario's requests, many rows at a time."""

    def __init__(self, lab: Lab, *, tcp6_rejections: bool, fewest_tries: int = FEWEST_TRIES) -> None:
        """Prepare.

        Args:
            lab: where.
            tcp6_rejections: see `rejections`; without them a TCP client over IPv6 may meet a timeout instead.
            fewest_tries: requests for a row that expects answers, even if all of its pods have answered.
        """
        self._lab = lab
        self._tcp6_rejections = tcp6_rejections
        self._fewest_tries = fewest_tries
        self._stuck: dict[Target, str] = {}
        """Which pod answered where one pod is to give all answers."""
        self._slots = asyncio.Semaphore(CONCURRENCY)

    async def differences(self, table: Table) -> list[Difference]:
        """The rows that do not hold, in the table's order."""
        async with asyncio.TaskGroup() as group:
            rows = [group.create_task(self._row(target, expected)) for target, expected in table.items()]
        return [row for row in (task.result() for task in rows) if row is not None]

    async def _row(self, target: Target, expected: Expectation) -> Difference | None:
        expected = self._observable(target, expected)
        async with self._slots:
            sample = await self._sample(target, expected)
        if not _agrees(sample, expected):
            return Difference(target, expected, sample)
        if expected.sticky:
            (self._stuck[target],) = sample.pods
        return None

    def _observable(self, target: Target, expected: Expectation) -> Expectation:
        if expected.sticky and (pod := self._stuck.get(target)) in expected.pods:
            return replace(expected, answers=frozenset(answer for answer in expected.answers if answer[0] == pod))
        silent = not self._tcp6_rejections and ":" in target.address and target.transport == "TCP"
        if silent and Result.REJECTED in expected.failures:
            return Expectation(failures=expected.failures | {Result.TIMEOUT})
        return expected

    async def _sample(self, target: Target, expected: Expectation) -> Sample:
        sample = empty_sample()
        patience = SILENCE if Result.TIMEOUT in expected.failures else None

        async def ask() -> None:
            sample.add(await self._lab.probe(target.client, target.transport, target.address, target.port, patience))

        if expected.failures:
            await asyncio.gather(*(ask() for _ in range(TRIES_FOR_FAILURE)))
            return sample
        needed = frozenset() if expected.sticky else expected.pods
        while sample.tries < self._fewest_tries or (sample.tries < MOST_TRIES and not needed <= sample.pods.keys()):
            await ask()
            if sample.failures:
                break
        return sample


def _agrees(sample: Sample, expected: Expectation) -> bool:
    if expected.sticky:
        return len(sample.answers) == 1 and sample.answers.keys() <= expected.answers and not sample.failures
    return sample.answers.keys() == expected.answers and sample.failures.keys() <= expected.failures


def render(differences: Iterable[Difference]) -> str:
    """The differences as a table of plain text."""
    rows = [("client", "address", "expected", "met")]
    rows += [
        (
            each.target.client,
            f"{each.target.address} {each.target.port}/{each.target.transport}",
            _expected(each.expected),
            ", ".join(filter(None, (_answers(each.sample.answers), *map(_failures, each.sample.failures.items())))),
        )
        for each in differences
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _expected(expected: Expectation) -> str:
    if expected.failures:
        return " or ".join(sorted(expected.failures))
    return f"{'always one of ' if expected.sticky else ''}{_answers(expected.answers)}"


def _answers(answers: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{pod} from {source}" for pod, source in sorted(answers))


def _failures(counted: tuple[Result, int]) -> str:
    return f"{counted[1]} × {counted[0]}"
