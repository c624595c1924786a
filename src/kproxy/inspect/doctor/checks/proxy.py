"""Does a proxy run here, does it keep up, and is it the only one?"""

from collections.abc import Iterator

from kproxy.inspect.doctor.finding import Finding, Severity, shell
from kproxy.inspect.doctor.view import NodeView
from kproxy.inspect.status.proxy_facts import failures, syncs

_SLOW, _VERY_SLOW = 5.0, 16.384
"""Seconds that one sync in a hundred takes: above the first, changes arrive late; above the second, the largest finite
bucket of the histogram, outages last."""
_RESTART = shell("kubectl", "-n", "kube-system", "rollout", "restart", "daemonset/kube-proxy")


def not_running(view: NodeView) -> Iterator[Finding]:
    """Nobody keeps the rules up to date."""
    running, processes = view.detection.running, view.detection.processes
    if running is None:
        seen = tuple(map(str, processes)) or ("no process named kube-proxy or kproxy in this network namespace",)
        yield Finding(
            check="proxy-running",
            severity=Severity.WARNING if processes else Severity.CRITICAL,
            subject=f"node {view.node}",
            evidence=(f"nothing answers http://{view.configuration.metrics_bind_address}/proxyMode", *seen),
            cause="No proxy runs, or its metrics are off or elsewhere (--metrics). Without one, rules do not change.",
            fixes=(_RESTART,),
        )
    elif running.healthz is not None and running.healthz.status != 200:
        yield Finding(
            check="proxy-running",
            severity=Severity.CRITICAL,
            subject=f"node {view.node}",
            evidence=(f"/healthz answers {running.healthz.status}: {_shown(running.healthz.body)}",),
            cause="The proxy has not brought the rules up to date for two sync periods, or the node is being deleted.",
            fixes=(_RESTART,),
        )


def _shown(body: bytes) -> str:
    return " ".join(body[:300].decode(errors="replace").split())


def several(view: NodeView) -> Iterator[Finding]:
    """Two proxies undo each other's work."""
    processes = view.detection.processes
    if len(processes) < 2:
        return
    yield Finding(
        check="two-proxies",
        severity=Severity.CRITICAL,
        subject=f"node {view.node}",
        evidence=tuple(map(str, processes)),
        cause="Several proxies write rules in this network namespace: each removes or overrides the other's.",
        fixes=tuple(shell("kill", str(process.pid)) for process in processes[1:]),
    )


def slow(view: NodeView) -> Iterator[Finding]:
    """Changes take long to arrive, or fail."""
    running = view.detection.running
    if running is None:
        return
    for sync in syncs(running, 0.0):
        durations = sync.all
        if durations is None or durations.p99 < _SLOW:
            continue
        services = sum(1 for _ in view.desired.tracker.names()) if view.desired else None
        known = f"; {services} Services" if services is not None else ""
        figures = f"p99 {durations.p99:.1f} s, mean {durations.mean:.1f} s in {durations.count} syncs{known}"
        yield Finding(
            check="slow-syncs",
            severity=Severity.CRITICAL if durations.p99 >= _VERY_SLOW else Severity.WARNING,
            subject=f"{sync.family} rules in {running.mode} mode",
            evidence=(f"kubeproxy_sync_proxy_rules_duration_seconds: {figures}",),
            cause="The mode's cost grows with the cluster: every sync handles all Services.",
            fixes=(shell("kproxy", "switch", "--to", "nftables", "--node"),),
        )


def failing(view: NodeView) -> Iterator[Finding]:
    """The kernel refuses syncs."""
    running = view.detection.running
    for failure in failures(running) if running else ():
        yield Finding(
            check="failed-syncs",
            severity=Severity.WARNING,
            subject=f"node {view.node}",
            evidence=(f"{failure.metric} is {failure.count}",),
            cause="Since the proxy started, the kernel or iptables-restore has refused rules; the log says which.",
            fixes=(shell("kubectl", "-n", "kube-system", "logs", "-l", "k8s-app=kube-proxy", "--tail=200"),),
        )


def stale_rules(view: NodeView) -> Iterator[Finding]:
    """Rules that a mode which does not run any more has left."""
    for footprint in view.detection.stale:
        if footprint.mode == "nftables":
            tables = [words.split(":")[0].split()[1:] for words in footprint.evidence]
            fixes = tuple(shell("nft", "delete", "table", *table) for table in tables)
        else:
            fixes = (shell("kproxy", "switch", "--to", view.mode, "--node", "--yes"),)
        yield Finding(
            check="stale-rules",
            severity=Severity.CRITICAL,
            subject=f"{footprint.mode} mode's rules of {footprint.owner.value}",
            evidence=(*footprint.evidence, f"the proxy that runs is in {view.mode} mode"),
            cause="The mode was changed without a clean-up: old rules send traffic to endpoints that may have gone.",
            fixes=fixes,
        )
