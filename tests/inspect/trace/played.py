"""Plays whole scenarios and traces every row of every phase."""

import asyncio
import os
import random
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from kproxy.inspect.trace.report import View
from kproxy.lab.expectation import Expectation, Table, Target
from kproxy.lab.lab import Lab
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
    otherwise: int
    """Rows that a view contradicts; in IPVS mode alone, whose virtual servers cannot tell clients apart."""

    def plus(self, rows: int, packets: int, otherwise: int) -> "Count":
        return Count(self.phases, self.rows + rows, self.packets + packets, self.otherwise + otherwise)


def chosen(*scenarios: str) -> tuple[str, ...]:
    """Those that a run by default plays; all of them in a long one."""
    return EVERY_SCENARIO if LONG else scenarios


def load(name: str, mode: str) -> Scenario:
    path = SCENARIOS / f"{name}.yaml"
    return userspace.load(path, mode) if mode == "userspace" else load_scenario(path, mode)


async def play(name: str, mode: str, *, sampled: int) -> Count:
    """Trace every row of every phase of a scenario; fails with all contradictions.

    Args:
        name: the scenario
        mode: of the proxy
        sampled: rows of each phase that real packets are sent for as well; where affinity remembers clients, one is
            sent for each row, as what is expected depends on what clients met before. 0: no packet is sent
    """
    scenario, wrong = load(name, mode), list[str]()
    count = Count(len(scenario.phases), 0, 0, 0)
    remembering = any(row.sticky for phase in scenario.phases for row in phase.expect.values())
    async with programmed(mode) as (lab, node):
        silent = sampled > 0 and await _rejections_are_silent(lab)
        for phase in scenario.phases:
            read = await node.bring_about(phase)
            if sampled and remembering:
                await _samples(lab, phase.expect, phase.expect, tries=1)
            examined = _Examined(await asyncio.to_thread(read), silent=silent)
            differ = [*examined.disagreements()]
            otherwise = examined.against_expectations()
            if mode != "ipvs":
                differ += otherwise
            samples = await _samples(lab, phase.expect, _draw(phase.expect, sampled, phase.name), tries=_TRIES)
            differ += examined.against_packets(samples)
            wrong += (f"{name}, {phase.name}, {target}: {words}" for target, words in differ)
            packets = sum(sample.tries for sample in samples.values())
            count = count.plus(len(phase.expect), packets, len({target for target, _ in otherwise}))
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

    def against_expectations(self) -> list[Said]:
        said = (
            (target, against_expectation(view, target, self._expect[target], proxied=self._ends_at_proxy(view)))
            for target, found in self._traces.items()
            for view in found.views
        )
        return [each for each in said if each[1]]

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


async def _samples(lab: Lab, rows: Table, targets: Iterable[Target], *, tries: int) -> dict[Target, Sample]:
    asked = list(dict.fromkeys(targets))
    slots = asyncio.Semaphore(CONCURRENCY)
    samples = await asyncio.gather(*(_sample(lab, target, rows[target], tries, slots) for target in asked))
    return dict(zip(asked, samples, strict=True))


async def _sample(lab: Lab, target: Target, expected: Expectation, tries: int, slots: asyncio.Semaphore) -> Sample:
    sample = empty_sample()
    patience = SILENCE if Result.TIMEOUT in expected.failures else None
    async with slots:
        for _ in range(1 if expected.failures else tries):
            sample.add(await lab.probe(target.client, target.transport, target.address, target.port, patience))
    return sample
