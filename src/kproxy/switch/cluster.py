"""The switch of a whole cluster: its ConfigMap edited, its DaemonSet's pods replaced node by node.

What has been done is in an annotation of the ConfigMap, written in the same request as the new configuration, so that
a switch that is interrupted at any point can go on or be taken back, from anywhere.
"""

from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import msgspec

from kproxy.config import ConfigError, KubeProxyConfiguration, load_bytes
from kproxy.sources.errors import ApiError, SourceError
from kproxy.switch.cluster_client import ClusterClient, Json
from kproxy.switch.cluster_objects import (
    Place,
    ProxyPod,
    configuration_key,
    internal_ip,
    max_unavailable,
    node_ports,
    proxy_pods,
)
from kproxy.switch.cluster_state import ClusterState, annotated, read_state
from kproxy.switch.configuration_edit import EditError, Edits, edit
from kproxy.switch.module_loading import AT_ONCE, ModuleLoading, Wanted
from kproxy.switch.module_pod import image_of
from kproxy.switch.modules import FILE, FOLDER
from kproxy.switch.node_probe import Baseline, NodeProbe
from kproxy.switch.plan import Outcome, Plan, Report, Step, SwitchError
from kproxy.switch.preflight import kernel_obstacle, modules_for
from kproxy.switch.rollout import Rollout
from kproxy.switch.target import differences, edits_for

_ALREADY_EXISTS = 409


class ClusterOptions(NamedTuple):
    to: str
    place: Place = Place()
    strict_arp: bool = False
    patience: float = 120.0
    """Seconds that a node has to come back, and to serve; likewise to load its modules."""
    load_modules: bool = True
    """By a Pod on each node, where the mode needs any that the kernel does not load by itself."""
    module_image: str = ""
    """Of those Pods; empty: the proxy's."""


class Found(NamedTuple):
    """The cluster before the switch."""

    config_map: Json
    key: str
    configuration: KubeProxyConfiguration
    daemon_set: Json
    pods: list[ProxyPod]
    addresses: dict[str, str]
    """Each node's."""
    probe: NodeProbe
    edits: Edits
    state: ClusterState | None
    modules: Wanted | None
    """None: nothing is to be loaded."""

    @property
    def pending(self) -> set[str]:
        """The nodes that do not serve in the new mode yet."""
        return {pod.node for pod in self.pods} - set(self.state.done if self.state else ())


class ClusterSwitch:
    """One switch; make the plan first."""

    def __init__(
        self, client: ClusterClient, options: ClusterOptions, on_step: Callable[[Step], None] = lambda step: None
    ) -> None:
        self._client, self._options, self._on_step = client, options, on_step
        self._steps: list[Step] = []
        self._baselines: dict[str, Baseline] = {}

    # ------------------------------------------------------------------ plan

    async def plan(self) -> tuple[Plan, Found]:
        """Look at the cluster and say what will be done.

        Raises:
            SwitchError: it has no such proxy
            SourceError: the API cannot be reached, or refuses
        """
        client, place = self._client, self._options.place
        config_map = await client.read(place.config_map_path)
        key = configuration_key(config_map)
        text = config_map["data"][key]
        try:
            configuration = load_bytes(text.encode(), f"ConfigMap {place.config_map}, {key}").configuration
        except ConfigError as error:
            raise SwitchError(str(error)) from error
        daemon_set = await client.read(place.daemon_set_path)
        pods = await proxy_pods(client, place, daemon_set)
        nodes = await client.items("/api/v1/nodes")
        services = await client.items("/api/v1/services")
        edits = edits_for(configuration, self._options.to, strict_arp=self._options.strict_arp)
        state = read_state(config_map)
        found = Found(
            *(config_map, key, configuration, daemon_set, pods),
            {node["metadata"]["name"]: internal_ip(node) for node in nodes},
            NodeProbe(configuration, node_ports(services)),
            edits,
            state,
            self._modules(configuration, daemon_set),
        )
        plan = Plan(
            subject=f"DaemonSet {place.namespace}/{place.daemon_set} on {len(pods)} nodes",
            from_mode=state.from_mode if state else configuration.mode,
            to_mode=self._options.to,
            steps=tuple(self._planned(found)),
            warnings=(*differences(configuration, self._options.to), *self._module_warnings(found)),
            obstacles=tuple(self._obstacles(found, text, nodes)),
        )
        return plan, found

    def _modules(self, configuration: KubeProxyConfiguration, daemon_set: Json) -> Wanted | None:
        """The kernel loads those of the other modes when their rules are written."""
        options = self._options
        if options.to != "ipvs":
            return None
        image = options.module_image or image_of(daemon_set)
        return Wanted(options.to, modules_for(options.to, configuration.ipvs.scheduler), image)

    def _module_warnings(self, found: Found) -> Iterator[str]:
        if found.modules is None:
            return
        if self._options.load_modules:
            yield (
                f"privileged Pods in {self._options.place.namespace}, one on each node for a moment: root with "
                f"SYS_MODULE, the node's /lib/modules to read and {FOLDER} to write (--no-load-modules: none)"
            )
        else:
            yield f"every node needs these modules, loaded by you: modprobe -a {' '.join(found.modules.modules)}"

    def _obstacles(self, found: Found, text: str, nodes: list[Json]) -> Iterator[str]:
        state, to = found.state, self._options.to
        if state is not None and state.to_mode != to:
            yield f"a switch to {state.to_mode} is unfinished: finish it, or take it back with --abort"
        if state is None and found.configuration.mode == to:
            yield f"the ConfigMap says {to} already"
        if state is None and (unready := [pod.node for pod in found.pods if not pod.ready]):
            yield f"not ready before the switch: {', '.join(unready[:5])}"
        if not found.pods:
            yield "the DaemonSet has no pods"
        if self._options.load_modules and found.modules and not found.modules.image:
            yield "the DaemonSet names no image to load modules with: give --module-image, or --no-load-modules"
        try:
            load_bytes(edit(text, found.edits).encode(), found.key)
        except (EditError, ConfigError) as error:
            yield str(error)
        used = {pod.node for pod in found.pods}
        for node in nodes:
            info = (node.get("status") or {}).get("nodeInfo") or {}
            name = node["metadata"]["name"]
            if name in used and (problem := kernel_obstacle(to, info.get("kernelVersion", ""))):
                yield f"node {name}: {problem}"

    def _planned(self, found: Found) -> Iterator[Step]:
        place, to = self._options.place, self._options.to
        if found.state:
            yield Step(name="resume", words=f"{len(found.state.done)} of {len(found.pods)} nodes are done")
        if found.modules and self._options.load_modules:
            at_once = f", {AT_ONCE} at a time" if len(found.pending) > AT_ONCE else ""
            yield Step(
                name="modules",
                words=f"load {', '.join(found.modules.modules)}; list them in {FOLDER / FILE}: by a Pod on each of "
                f"{len(found.pending)} nodes{at_once}, with {found.modules.image}",
            )
        backup = _backup_name(place, found.configuration.mode)
        yield Step(name="back up", words=f"ConfigMap {place.namespace}/{place.config_map} to {backup}")
        changed = ", ".join(f"{'.'.join(path)}: {value}" for path, value in found.edits.items())
        yield Step(name="edit", words=f"ConfigMap {place.namespace}/{place.config_map}, {found.key}: set {changed}")
        limit = max_unavailable(found.daemon_set, len(found.pods))
        order = ", ".join(pod.node for pod in found.pods[:5]) + (" …" if len(found.pods) > 5 else "")
        yield Step(name="roll out", words=f"replace the pods of {order}, {limit} at a time")
        yield Step(name="verify", words=f"after each node: pod ready, /healthz 200, NodePorts answer in {to} mode")

    # ------------------------------------------------------------------ run

    async def run(self, plan: Plan, found: Found) -> Report:
        """Carry the plan out; what fails is taken back.

        Raises:
            SwitchError, SourceError: taking it back failed, too
        """
        state = found.state
        try:
            if state is not None and state.rolling_back:
                raise SwitchError("an earlier switch failed, and was not taken back completely")
            loading = self._loading(found)
            await loading.remove_leftovers()
            await self._look_around(found, done=state.done if state else ())
            if found.modules and self._options.load_modules:
                await loading.load(found.modules, found.pending)
                self._tell("modules", f"loaded on {len(found.pending)} nodes: {', '.join(found.modules.modules)}")
            if state is None:
                state = await self._begin(found)
            await self._roll_out(state, found)
        except (SwitchError, SourceError) as error:
            self._tell("failed", str(error), Outcome.FAILED)
            await self.roll_back(found)
            return Report(plan=plan, steps=tuple(self._steps), succeeded=False)
        await self._store(None)
        return Report(plan=plan, steps=tuple(self._steps), succeeded=True)

    def _loading(self, found: Found) -> ModuleLoading:
        return ModuleLoading(self._client, self._options.place, found.daemon_set, self._options.patience)

    async def _look_around(self, found: Found, done: Collection[str]) -> None:
        """See what each node that is still in the old mode answers, for comparison afterwards."""
        for pod in found.pods:
            address = found.addresses.get(pod.node, "")
            if pod.node not in done and address:
                self._baselines[pod.node] = await found.probe.baseline(address)

    async def _begin(self, found: Found) -> ClusterState:
        place, config_map = self._options.place, found.config_map
        backup = _backup_name(place, found.configuration.mode)
        await self._back_up(backup, config_map)
        self._tell("back up", f"ConfigMap {place.namespace}/{backup}")
        state = ClusterState(from_mode=found.configuration.mode, to_mode=self._options.to, backup=backup)
        data = {**config_map["data"], found.key: edit(config_map["data"][found.key], found.edits)}
        # The version that was read goes along: a change by somebody else in between is a conflict, not lost.
        await self._client.replace(place.config_map_path, annotated({**config_map, "data": data}, state))
        self._tell("edit", f"ConfigMap {place.namespace}/{place.config_map}")
        return state

    async def _back_up(self, name: str, config_map: Json) -> None:
        place = self._options.place
        kept = {"name": name, "namespace": place.namespace, "labels": {"kproxy/backup-of": place.config_map}}
        backup = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": kept, "data": config_map["data"]}
        try:
            await self._client.create(place.config_maps, backup)
        except ApiError as error:
            if error.code != _ALREADY_EXISTS:
                raise
            await self._client.replace(f"{place.config_maps}/{name}", backup)

    async def _roll_out(self, state: ClusterState, found: Found) -> None:
        rollout = Rollout(self._client, self._options.place, found.daemon_set, self._options.patience)
        done = list(state.done)

        async def announce(nodes: list[str]) -> None:
            await self._store(msgspec.structs.replace(state, done=tuple(done), replacing=tuple(nodes)))

        async def verified(node: str) -> None:
            self._tell(f"node {node}", await self._verify(node, state.to_mode, found))
            done.append(node)

        await rollout.replace_all(found.pending, announce, verified)

    async def _verify(self, node: str, mode: str, found: Found) -> str:
        before = self._baselines.get(node)
        if before is None:
            return "ready; what it answered before the interruption is not known"
        if before.tells_nothing:
            return "ready; neither /healthz nor NodePorts can be reached from here"
        return await found.probe.verify(found.addresses[node], mode, before, self._options.patience)

    # ------------------------------------------------------------------ back

    async def roll_back(self, found: Found) -> None:
        """Restore the ConfigMap, and replace the pods of the nodes that have seen the new one.

        Raises:
            SwitchError, SourceError: it cannot be done; the annotation stays, for another try
        """
        place = self._options.place
        await self._loading(found).remove_leftovers()
        config_map = await self._client.read(place.config_map_path)
        state = read_state(config_map)
        if state is None:
            self._tell("roll back", "nothing had changed", Outcome.ROLLED_BACK)
            return
        backup = await self._client.read(f"{place.config_maps}/{state.backup}")
        state = msgspec.structs.replace(state, rolling_back=True)
        await self._client.replace(place.config_map_path, annotated({**config_map, "data": backup["data"]}, state))
        before = {pod.node: pod.uid for pod in found.pods}
        rollout = Rollout(self._client, place, found.daemon_set, self._options.patience)
        present = await rollout.pods()
        changed = {pod.node for pod in present if pod.uid != before.get(pod.node)} | {*state.done, *state.replacing}
        missing = before.keys() - {pod.node for pod in present}

        async def announce(nodes: list[str]) -> None:
            del nodes  # what has been seen to be changed stays so until all is taken back

        async def verified(node: str) -> None:
            self._tell(f"node {node}", await self._verify(node, state.from_mode, found), Outcome.ROLLED_BACK)

        await rollout.replace_all(changed, announce, verified)
        if missing:
            self._tell("roll back", f"pods of {', '.join(sorted(missing))} have not come back yet", Outcome.ROLLED_BACK)
        await self._store(None)
        self._tell("roll back", f"{state.from_mode} mode again", Outcome.ROLLED_BACK)

    async def _store(self, state: ClusterState | None) -> None:
        path = self._options.place.config_map_path
        await self._client.replace(path, annotated(await self._client.read(path), state))

    def _tell(self, name: str, detail: str, outcome: Outcome = Outcome.DONE) -> None:
        step = Step(name=name, words="", outcome=outcome, detail=detail)
        self._steps.append(step)
        self._on_step(step)


def _backup_name(place: Place, mode: str) -> str:
    return f"{place.config_map}-before-switch-from-{mode}"
