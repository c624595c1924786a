"""Plays whole scenarios and traces every row of every phase."""

import asyncio
import os
import random
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from kproxy.inspect.trace.report import View
from kproxy.lab.expectation import Expectation, Table, Target
from kproxy.lab.lab import DEFAULT_PATIENCE, Lab
from kproxy.lab.observation import CONCURRENCY, SILENCE
from kproxy.lab.probe import Result, Sample, empty_sample
from kproxy.lab.rejections import tcp6_rejections_arrive
from kproxy.lab.runner import SCENARIOS
from kproxy.lab.scenario import Scenario, load_scenario
from tests.inspect.trace.agreement import against_expectation, against_packets
from tests.inspect.trace.programmed_node import Traced, programmed
from tests.userspace import scenarios as userspace

EVERY_SCENARIO = tuple(sorted(path.stem for path in SCENARIOS.glob("*.yaml")))
LONG = bool(os.environ.get("KPROXY_LONG"))
"""Whether all scenarios are played in all modes, which takes minutes."""

_TRIES = 4
_SILENT: list[bool] = []


Said = tuple[Target, str]
"""A row, and what contradicts what."""


class Count(NamedTuple):
    """What was compared."""

    phases: int
    rows: int
    packets: int

    def plus(self, rows: int, packets: int) -> "Count":
        return Count(self.phases, self.rows + rows, self.packets + packets)


class Patience(NamedTuple):
    """How long clients wait; a machine under emulation needs more."""

    answer: float = DEFAULT_PATIENCE
    """Seconds, where one is expected."""
    silence: float = SILENCE
    """Seconds, where none is."""


EVERYDAY = Patience()
EMULATED = Patience(answer=5.0, silence=1.5)


def chosen(*scenarios: str) -> tuple[str, ...]:
    """Those that a run by default plays; all of them in a long one."""
    return EVERY_SCENARIO if LONG else scenarios


def load(name: str, mode: str) -> Scenario:
    path = SCENARIOS / f"{name}.yaml"
    return userspace.load(path, mode) if mode == "userspace" else load_scenario(path, mode)


async def play(
    name: str, mode: str, *, sampled: int, otherwise_in: str | None = None, patience: Patience = EVERYDAY
) -> Count:
    """Trace every row of every phase of a scenario; fails with all contradictions.

    Args:
        name: the scenario
        mode: of the proxy
        sampled: rows of each phase that real packets are sent for as well; where affinity remembers clients, one is
            sent for each row, as what is expected depends on what clients met before. 0: no packet is sent
        otherwise_in: another mode; rows that are to end otherwise than in it are all among those sampled
        patience: of the clients
    """
    scenario, wrong = load(name, mode), list[str]()
    count = Count(len(scenario.phases), 0, 0)
    others = [phase.expect for phase in load(name, otherwise_in or mode).phases]
    remembering = any(row.sticky for phase in scenario.phases for row in phase.expect.values())
    async with programmed(mode, patience=patience.answer) as (lab, node):
        silent = sampled > 0 and await _rejections_are_silent(lab)
        for phase, other in zip(scenario.phases, others, strict=True):
            read = await node.bring_about(phase)
            if sampled and remembering:
                await _samples(lab, phase.expect, phase.expect, 1, patience.silence)
            examined = _Examined(await asyncio.to_thread(read), silent=silent)
            own = (target for target, row in phase.expect.items() if other.get(target, row) != row)
            drawn = [*own, *_draw(phase.expect, sampled, phase.name)]
            samples = await _samples(lab, phase.expect, drawn, _TRIES, patience.silence)
            differ = [
                *examined.disagreements(),
                *examined.against_expectations(),
                *examined.against_packets(samples),
            ]
            wrong += (f"{name}, {phase.name}, {target}: {words}" for target, words in differ)
            count = count.plus(len(phase.expect), sum(sample.tries for sample in samples.values()))
    assert not wrong, f"{len(wrong)} contradictions in {count.rows} rows:\n" + "\n".join(wrong)
    return count


async def _rejections_are_silent(lab: Lab) -> bool:
    """Whether this kernel keeps rejections from TCP clients over IPv6, asked once."""
    if not _SILENT:
        _SILENT.append(not await tcp6_rejections_arrive(lab))
    return _SILENT[0]


class _Examined:
    """The traces of a phase's rows."""

    def __init__(self, traced: Traced, *, silent: bool) -> None:
        self._expect, self._silent = traced.expect, silent
        self._proxied = traced.facts.mode == "userspace"
        self._traces = traced.traces()

    def disagreements(self) -> Iterator[Said]:
        """Of views with each other."""
        return ((target, words) for target, found in self._traces.items() for words in found.disagreements)

    def against_expectations(self) -> Iterator[Said]:
        for target, found in self._traces.items():
            for view in found.views:
                proxied = self._ends_at_proxy(view)
                if words := against_expectation(view, target, self._expect[target], proxied=proxied):
                    yield target, words

    def against_packets(self, samples: Mapping[Target, Sample]) -> Iterator[Said]:
        for target, sample in samples.items():
            silent = self._silent and ":" in target.address and target.transport == "TCP"
            for view in self._traces[target].views:
                if words := against_packets(view, target, sample, proxied=self._ends_at_proxy(view), silent=silent):
                    yield target, words

    def _ends_at_proxy(self, view: View) -> bool:
        return self._proxied and view.name == "actual"


def _draw(rows: Iterable[Target], most: int, seed: str) -> list[Target]:
    every = sorted(rows)
    return random.Random(zlib.crc32(seed.encode())).sample(every, min(most, len(every)))


async def _samples(
    lab: Lab, rows: Table, targets: Iterable[Target], tries: int, silence: float
) -> dict[Target, Sample]:
    asked = list(dict.fromkeys(targets))
    slots = asyncio.Semaphore(CONCURRENCY)

    async def sample(target: Target) -> Sample:
        async with slots:
            return await _sample(lab, target, rows[target], tries, silence)

    return dict(zip(asked, await asyncio.gather(*map(sample, asked)), strict=True))


async def _sample(lab: Lab, target: Target, expected: Expectation, tries: int, silence: float) -> Sample:
    sample = empty_sample()
    patience = silence if Result.TIMEOUT in expected.failures else None
    for _ in range(1 if expected.failures else tries):
        sample.add(await lab.probe(target.client, target.transport, target.address, target.port, patience))
    return sample
