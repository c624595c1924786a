"""How the proxy of this node alone is started anew, and where its configuration is."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from kproxy.inspect.detection.processes import ProxyProcess
from kproxy.inspect.detection.supervision import supervision
from kproxy.inspect.doctor.cluster_objects import DaemonSet, Pod, describe_pod
from kproxy.inspect.doctor.finding import Remedy, kubectl_patch, shell
from kproxy.inspect.doctor.view import NodeView

_NAMES = ("kube-proxy", "kproxy")
_UNIT_FOLDERS = (Path("/etc/systemd/system"), Path("/usr/lib/systemd/system"), Path("/lib/systemd/system"))


def daemon_sets(view: NodeView) -> list[DaemonSet]:
    """Those that run a proxy."""
    listed = view.cluster.daemon_sets if view.cluster else None
    return [each for each in listed or () if each.metadata.name in _NAMES]


def own_pods(view: NodeView, daemon_set: DaemonSet) -> list[Pod]:
    """A DaemonSet's pods on this node."""
    pods = view.cluster.pods if view.cluster else None
    return [pod for pod in pods or () if daemon_set.owns(pod) and pod.spec.node_name == view.node]


def restart(view: NodeView) -> Remedy:
    """How the proxy is started, or started anew, on this node."""
    for daemon_set in daemon_sets(view):
        return _restart_pods(view, daemon_set)
    units = list(_units(view.detection.processes))
    if units:
        return Remedy(
            fixes=tuple(shell("systemctl", "restart", unit) for unit in units),
            look=tuple(shell("journalctl", "-n", "200", "--no-pager", "-u", unit) for unit in units),
        )
    verb = "Restart" if view.detection.running or view.detection.processes else "Start"
    return Remedy(advice=f"{verb} the proxy by what has installed it here: a DaemonSet, systemd, or by hand.")


def _units(processes: Sequence[ProxyProcess]) -> Iterator[str]:
    running = [unit for process in processes if (unit := supervision(process.pid).unit)]
    if running:
        yield from dict.fromkeys(running)
        return
    for name in _NAMES:
        if any((folder / f"{name}.service").exists() for folder in _UNIT_FOLDERS):
            yield f"{name}.service"


def _restart_pods(view: NodeView, daemon_set: DaemonSet) -> Remedy:
    namespace, name = daemon_set.metadata.namespace, daemon_set.metadata.name
    status = daemon_set.status
    counted = f"DaemonSet {namespace}/{name}: {status.number_ready} of {status.desired_number_scheduled} pods are ready"
    if pods := own_pods(view, daemon_set):
        names = [pod.metadata.name for pod in pods]
        return Remedy(
            evidence=(counted, *map(describe_pod, pods)),
            fixes=(shell("kubectl", "-n", namespace, "delete", "pod", *names),),
            look=tuple(_logs(pod) for pod in pods),
        )
    if lacking := _lacking_labels(view, daemon_set):
        shown = ", ".join(f"{key}={value}" for key, value in lacking.items())
        # A key in a JSON pointer (RFC 6901).
        paths = [key.replace("~", "~0").replace("/", "~1") for key in lacking]
        operations: list[dict[str, object]] = [
            {"op": "remove", "path": f"/spec/template/spec/nodeSelector/{path}"} for path in paths
        ]
        return Remedy(
            evidence=(counted, f"its nodeSelector wants {shown}, which node {view.node} has not"),
            fixes=(kubectl_patch("daemonset", namespace, name, operations),),
            advice="It may have been kept off on purpose, for another proxy: then start that one.",
        )
    return Remedy(
        evidence=(counted, f"none of its pods is known on node {view.node}"),
        look=(shell("kubectl", "-n", namespace, "describe", "daemonset", name),),
        advice="See what keeps the DaemonSet's pod off this node: its events, affinity, and the node's taints.",
    )


def _lacking_labels(view: NodeView, daemon_set: DaemonSet) -> dict[str, str]:
    """What the DaemonSet wants of a node, and this one has not."""
    nodes = view.cluster.nodes if view.cluster else None
    node = next((each for each in nodes or () if each.metadata.name == view.node), None)
    if node is None:
        return {}
    labels = node.metadata.labels or {}
    wanted = daemon_set.spec.template.spec.node_selector or {}
    return {key: value for key, value in wanted.items() if labels.get(key) != value}


def _logs(pod: Pod) -> str:
    return shell("kubectl", "-n", pod.metadata.namespace, "logs", pod.metadata.name, "--tail=200")


def configuration_advice(view: NodeView, what: str) -> str:
    """Advice to change the proxy's configuration.

    Args:
        view: the node
        what: the setting and its value, in words
    """
    file = config_file(view)
    place = f"the file {file}" if file else "its ConfigMap, or its file"
    return f"Set {what} in the proxy's configuration ({place}), and restart the proxy."


def config_file(view: NodeView) -> str:
    """The configuration file that the proxy of this node was started with; empty: unknown."""
    return next(filter(None, map(_config_option, view.detection.processes)), "")


def _config_option(process: ProxyProcess) -> str:
    for name, following in zip(process.arguments, (*process.arguments[1:], ""), strict=True):
        if name == "--config":
            return following
        if name.startswith("--config="):
            return name.partition("=")[2]
    return ""
