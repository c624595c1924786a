"""The switch of one node whose proxy has a configuration file.

The order is that of the least risk: everything is tried and written down before anything changes; the old mode's rules
stay until the new mode's have been seen to serve; what fails is taken back.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from kproxy.config import ConfigError, KubeProxyConfiguration, load_bytes
from kproxy.inspect.desired import DesiredState, Where
from kproxy.inspect.detection.detect import Detection
from kproxy.inspect.detection.settings import endpoints, find_settings
from kproxy.inspect.status.collect import collect
from kproxy.services.addresses import Family, Network, parse_network
from kproxy.switch import progress as states
from kproxy.switch.configuration_edit import EditError, Edits, edit
from kproxy.switch.leftovers import remove_leftovers
from kproxy.switch.modules import FOLDER, load_and_persist
from kproxy.switch.plan import Outcome, Plan, Report, Step, SwitchError
from kproxy.switch.preflight import preflight
from kproxy.switch.progress import Phase, Progress
from kproxy.switch.restarting import Restart, find_restart
from kproxy.switch.target import differences, edits_for
from kproxy.switch.traffic import Target, answering, targets
from kproxy.switch.verification import Verification

PATIENCE = 60.0
"""Seconds that the proxy has to serve in the new mode."""


class NodeOptions(NamedTuple):
    config: Path
    to: str
    where: Where
    restart: tuple[str, ...] = ()
    """Empty: find out."""
    strict_arp: bool = False
    patience: float = PATIENCE
    modules_folder: Path = FOLDER


class Found(NamedTuple):
    """The node before the switch."""

    text: str
    """The configuration file."""
    configuration: KubeProxyConfiguration
    desired: DesiredState | None
    detection: Detection
    verification: Verification
    targets: list[Target]
    unfinished: Progress | None
    restart: Restart
    edits: Edits
    modules: tuple[str, ...]


class NodeSwitch:
    """One switch; make the plan first."""

    def __init__(self, options: NodeOptions, on_step: Callable[[Step], None] = lambda step: None) -> None:
        self._options, self._on_step = options, on_step
        self._steps: list[Step] = []

    # ------------------------------------------------------------------ plan

    async def plan(self) -> tuple[Plan, Found]:
        """Look at the node and say what will be done.

        Raises:
            SwitchError: the configuration file cannot be read
            InspectionError: what the options name cannot be read
        """
        options = self._options
        exists = await asyncio.to_thread(options.config.exists)
        where = options.where if exists else msgspec.structs.replace(options.where, config=None)
        if exists:
            text, configuration = _read(options.config)
        else:
            text, configuration = "", (await asyncio.to_thread(find_settings, where)).settings.configuration
        collected = await collect(where)
        detection, desired = collected.detection, collected.desired
        serves = detection.running is not None and detection.running.mode == options.to
        if not exists and not serves:
            raise SwitchError(f"{options.config}: no such file; give --config, or for a DaemonSet --cluster")
        obstacles: list[str] = []
        restart = Restart(options.restart)
        if not options.restart and not serves:
            try:
                restart = find_restart(detection.processes)
            except SwitchError as error:
                obstacles.append(str(error))
        unfinished = states.load(options.config)
        if unfinished is not None and unfinished.to_mode != options.to:
            obstacles.append(f"a switch to {unfinished.to_mode} is unfinished: finish it, or take it back with --abort")
        ports = (
            [p for n in desired.tracker.names() for f in Family for p in desired.tracker.ports(n, f)] if desired else []
        )
        trial = await asyncio.to_thread(
            lambda: preflight(
                configuration,
                options.to,
                services=len(ports),
                endpoints=sum(len(port.cluster_endpoints) for port in ports),
                load=False,
            )
        )
        edits = edits_for(configuration, options.to, strict_arp=options.strict_arp)
        try:
            if exists:
                load_bytes(edit(text, edits).encode(), str(options.config))
        except (EditError, ConfigError) as error:
            obstacles.append(f"{options.config}: {error}")
        if detection.running is None:
            obstacles.append(f"no proxy answers at {configuration.metrics_bind_address}: nothing can be verified")
        metrics, healthz = endpoints(configuration, where)
        found = Found(
            *(text, configuration, desired, detection, Verification(metrics, healthz), targets(ports)),
            *(unfinished, restart, edits, trial.modules),
        )
        plan = Plan(
            subject=f"node {collected.status.node}",
            from_mode=unfinished.from_mode if unfinished else configuration.mode,
            to_mode=options.to,
            steps=tuple(self._planned(found)),
            warnings=(*differences(configuration, options.to), *trial.warnings),
            obstacles=(*obstacles, *trial.obstacles),
        )
        return plan, found

    def _planned(self, found: Found) -> Iterator[Step]:
        options = self._options
        stale = ", ".join(sorted({each.mode for each in found.detection.footprints} - {options.to})) or "the old mode"
        if found.unfinished:
            yield Step(name="resume", words=f"go on after: {found.unfinished.phase.name.lower().replace('_', ' ')}")
        elif self._is_switched(found):
            yield Step(name="clean up", words="remove rules of other modes, if there are any")
            return
        yield Step(name="back up", words=f"{options.config} to {states.backup_path(options.config)}")
        yield Step(name="modules", words=f"load {', '.join(found.modules)}; list them in {options.modules_folder}")
        changed = ", ".join(f"{'.'.join(path)}: {value}" for path, value in found.edits.items())
        yield Step(name="edit", words=f"{options.config}: set {changed}")
        yield Step(name="restart", words=str(found.restart))
        yield Step(
            name="verify", words=f"{options.to} in /proxyMode, /healthz 200, {len(found.targets)} Services answer"
        )
        yield Step(name="clean up", words=f"remove rules of {stale}, once the new ones serve")

    # ------------------------------------------------------------------ run

    async def run(self, plan: Plan, found: Found) -> Report:
        """Carry the plan out; what fails is taken back.

        Raises:
            SwitchError: taking it back failed, too
        """
        options, config = self._options, self._options.config
        state = found.unfinished
        if state is None and self._is_switched(found):
            return await self._only_leftovers(plan, found)
        if state is None:
            answered = tuple(sorted(map(str, await answering(found.targets))))
            state = Progress(
                from_mode=found.configuration.mode, to_mode=options.to, phase=Phase.STARTED, answered=answered
            )
        try:
            state = await self._advance(state, found)
        except SwitchError as error:
            self._tell("failed", str(error), Outcome.FAILED)
            await self._roll_back(state, found)
            return Report(plan=plan, steps=tuple(self._steps), succeeded=False)
        try:
            self._tell("clean up", await self._clean_up(found, options.to, options.patience))
        except SwitchError as error:
            # The new mode serves: to take it back for this would be worse.
            self._tell("clean up", str(error), Outcome.FAILED)
            return Report(plan=plan, steps=tuple(self._steps), succeeded=False)
        states.forget(config)
        return Report(plan=plan, steps=tuple(self._steps), succeeded=True)

    def _is_switched(self, found: Found) -> bool:
        """The proxy is in the mode, and will be after a restart."""
        running, to = found.detection.running, self._options.to
        return running is not None and running.mode == to and found.configuration.mode == to

    async def _only_leftovers(self, plan: Plan, found: Found) -> Report:
        self._tell("edit", f"the mode is {self._options.to} already", Outcome.UNCHANGED)
        self._tell("clean up", await self._clean_up(found, self._options.to, 0))
        return Report(plan=plan, steps=tuple(self._steps), succeeded=True)

    async def _advance(self, state: Progress, found: Found) -> Progress:
        options, config = self._options, self._options.config

        def reach(phase: Phase) -> Progress:
            reached = Progress(from_mode=state.from_mode, to_mode=state.to_mode, phase=phase, answered=state.answered)
            states.save(config, reached)
            return reached

        if state.phase < Phase.BACKED_UP:
            states.write(states.backup_path(config), found.text.encode())
            state = reach(Phase.BACKED_UP)
            self._tell("back up", str(states.backup_path(config)))
        if state.phase < Phase.MODULES_LOADED:
            self._tell("modules", await _load(options, found.modules))
            trial = await asyncio.to_thread(
                lambda: preflight(found.configuration, options.to, services=0, endpoints=0, load=True)
            )
            if trial.obstacles:
                raise SwitchError("; ".join(trial.obstacles))
            state = reach(Phase.MODULES_LOADED)
        if state.phase < Phase.EDITED:
            original = states.backup_path(config).read_text(encoding="utf-8")
            states.write(config, edit(original, found.edits).encode())
            state = reach(Phase.EDITED)
            self._tell("edit", str(config))
        # What an interrupted switch restarted has had its time.
        since = time.time() if state.phase < Phase.RESTARTED else 0.0
        if state.phase < Phase.RESTARTED:
            await found.restart.perform()
            state = reach(Phase.RESTARTED)
            self._tell("restart", str(found.restart))
        if state.phase < Phase.VERIFIED:
            verified = await self._verify(options.to, state.answered, found, since, options.patience)
            self._tell("verify", verified)
            state = reach(Phase.VERIFIED)
        return state

    async def _verify(self, mode: str, answered: Sequence[str], found: Found, since: float, patience: float) -> str:
        wanted = [target for target in found.targets if str(target) in answered]
        return await found.verification.serves(mode, wanted, since, patience)

    async def _clean_up(self, found: Found, active: str, patience: float) -> str:
        """Remove what is left of other modes, or let a proxy do so that does; returns what became of it, in words.

        Raises:
            SwitchError: it is still there
        """
        left = await found.verification.leftovers(patience)
        if not left.modes:
            return "nothing of another mode is left"
        if left.in_use:
            return f"{left.in_use} virtual servers of ipvs mode have connections; the proxy removes them afterwards"
        if left.proxys:
            modes = ", ".join(sorted(left.modes))
            raise SwitchError(f"the proxy has not removed its rules of {modes} mode within {patience:g} s: see its log")
        removed = await remove_leftovers(active, left.modes, _excluded(found.configuration))
        return f"removed {', '.join(removed)}" if removed else "the proxy has removed them itself"

    # ------------------------------------------------------------------ back

    async def abort(self, plan: Plan, found: Found) -> Report:
        """Take an unfinished switch back.

        Raises:
            SwitchError: there is none, or it cannot be taken back
        """
        if found.unfinished is None:
            raise SwitchError(f"{states.state_path(self._options.config)}: no switch is unfinished")
        await self._roll_back(found.unfinished, found)
        return Report(plan=plan, steps=tuple(self._steps), succeeded=True)

    async def _roll_back(self, state: Progress, found: Found) -> None:
        config = self._options.config
        reached = states.load(config) or state
        if reached.phase >= Phase.BACKED_UP:
            states.write(config, states.backup_path(config).read_bytes())
        if reached.phase >= Phase.EDITED:
            # One that has not noticed the change goes on as before, and has nothing to sync.
            since = time.time() if found.restart.command else 0.0
            await found.restart.perform()
            verified = await self._verify(reached.from_mode, reached.answered, found, since, PATIENCE)
            self._tell("roll back", verified, Outcome.ROLLED_BACK)
            await self._clean_up(found, reached.from_mode, PATIENCE)
        else:
            self._tell("roll back", "nothing had changed", Outcome.ROLLED_BACK)
        states.forget(config)

    def _tell(self, name: str, detail: str, outcome: Outcome = Outcome.DONE) -> None:
        step = Step(name=name, words="", outcome=outcome, detail=detail)
        self._steps.append(step)
        self._on_step(step)


def _read(config: Path) -> tuple[str, KubeProxyConfiguration]:
    try:
        text = config.read_text(encoding="utf-8")
        return text, load_bytes(text.encode(), str(config)).configuration
    except (OSError, UnicodeDecodeError) as error:
        raise SwitchError(f"{config}: {getattr(error, 'strerror', None) or error}") from error
    except ConfigError as error:
        raise SwitchError(str(error)) from error


async def _load(options: NodeOptions, modules: Sequence[str]) -> str:
    try:
        return await asyncio.to_thread(load_and_persist, options.to, modules, options.modules_folder)
    except OSError as error:
        raise SwitchError(f"{options.modules_folder}: {error.strerror}") from error


def _excluded(configuration: KubeProxyConfiguration) -> tuple[Network, ...]:
    listed = configuration.ipvs.exclude_cidrs or ()
    return tuple(network for text in listed if (network := parse_network(text)) is not None)
