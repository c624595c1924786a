"""Does a proxy run here, does it keep up, and is it the only one?"""

from collections.abc import Iterator

from kproxy.inspect.detection.processes import ProxyProcess
from kproxy.inspect.detection.supervision import Supervision, supervision
from kproxy.inspect.doctor.finding import Finding, Remedy, Severity, shell
from kproxy.inspect.doctor.supervision import config_file, daemon_sets, own_pods, restart
from kproxy.inspect.doctor.view import NodeView
from kproxy.inspect.status.proxy_facts import failures, syncs

_SLOW, _VERY_SLOW = 5.0, 16.384
"""Seconds that one sync in a hundred takes: above the first, changes arrive late; above the second, the largest finite
bucket of the histogram, outages last."""


def not_running(view: NodeView) -> Iterator[Finding]:
    """Nobody keeps the rules up to date."""
    running, processes = view.detection.running, view.detection.processes
    if running is None:
        seen = tuple(map(str, processes)) or ("no process named kube-proxy or kproxy in this network namespace",)
        yield _to_be_restarted(
            view,
            Severity.WARNING if processes else Severity.CRITICAL,
            (f"nothing answers http://{view.configuration.metrics_bind_address}/proxyMode", *seen),
            "No proxy runs, or its metrics are off or elsewhere (--metrics). Without one, rules do not change.",
        )
    elif running.healthz is not None and running.healthz.status != 200:
        yield _to_be_restarted(
            view,
            Severity.CRITICAL,
            (f"/healthz answers {running.healthz.status}: {_shown(running.healthz.body)}",),
            "The proxy has not brought the rules up to date for two sync periods, or the node is being deleted.",
        )


def _to_be_restarted(view: NodeView, severity: Severity, evidence: tuple[str, ...], cause: str) -> Finding:
    remedy = restart(view)
    silent = view.detection.running is None and view.detection.processes
    return Finding(
        check="proxy-running",
        severity=severity,
        subject=f"node {view.node}",
        evidence=(*evidence, *remedy.evidence),
        cause=cause,
        fixes=remedy.fixes,
        look=remedy.look,
        advice=f"Ask first with --metrics, if its metrics are elsewhere. {remedy.advice}".strip()
        if silent
        else remedy.advice,
    )


def _shown(body: bytes) -> str:
    return " ".join(body[:300].decode(errors="replace").split())


def several(view: NodeView) -> Iterator[Finding]:
    """Two proxies undo each other's work."""
    processes = view.detection.processes
    if len(processes) < 2:
        return
    # What nobody would start again goes first.
    kept, *others = sorted(((supervision(process.pid), process) for process in processes), key=lambda p: not p[0])
    names = ", ".join(f"DaemonSet {d.metadata.namespace}/{d.metadata.name}" for d in daemon_sets(view))
    yield Finding(
        check="two-proxies",
        severity=Severity.CRITICAL,
        subject=f"node {view.node}",
        evidence=(*map(str, processes), *([names] if names else [])),
        cause="Several proxies write rules in this network namespace: each removes or overrides the other's.",
        fixes=tuple(_stop(found, process) for found, process in others if not found.in_pod),
        look=(shell("kubectl", "get", "daemonsets", "-A", "-o", "wide"),) if names else (),
        advice=f"This keeps process {kept[1].pid}; to keep another, stop that one instead."
        if not any(found.in_pod for found, _ in others)
        else "A pod's proxy would be started anew: keep one of the DaemonSets off this node, or delete it.",
    )


def _stop(found: Supervision, process: ProxyProcess) -> str:
    if found.unit:
        return shell("systemctl", "disable", "--now", found.unit)
    return shell("kill", str(process.pid))


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
        switchable = running.mode != "nftables"
        yield Finding(
            check="slow-syncs",
            severity=Severity.CRITICAL if durations.p99 >= _VERY_SLOW else Severity.WARNING,
            subject=f"{sync.family} rules in {running.mode} mode",
            evidence=(f"kubeproxy_sync_proxy_rules_duration_seconds: {figures}",),
            cause="The mode's cost grows with the cluster: every sync handles all Services."
            if switchable
            else "The processor is busy or throttled, or the kernel is slow to take changes.",
            fixes=(_switch(view, "nftables"),) if switchable else (),
            advice="" if switchable else "Give the proxy more of the processor, and look for what else uses it here.",
        )


def _switch(view: NodeView, mode: str) -> str:
    """The command that changes the mode, of this node where its proxy has a file of its own."""
    by_pod = [each for each in daemon_sets(view) if own_pods(view, each)]
    if by_pod:
        name = by_pod[0].metadata.name
        where = ["--cluster", "--daemon-set", name, "--config-map", name]
    else:
        file = config_file(view)
        where = ["--node", *(["--config", file] if file else [])]
    return shell("kproxy", "switch", "--to", mode, *where, "--yes")


def failing(view: NodeView) -> Iterator[Finding]:
    """The kernel refuses syncs."""
    running = view.detection.running
    for failure in failures(running) if running else ():
        yield Finding(
            check="failed-syncs",
            severity=Severity.WARNING,
            subject=f"node {view.node}",
            evidence=(f"{failure.metric} is {failure.count}",),
            cause="Since the proxy started, the kernel or iptables-restore has refused rules.",
            look=restart(view).look,
            advice="The proxy's log says which rules, and why; the count goes back to 0 when the proxy is restarted.",
        )


def stale_rules(view: NodeView) -> Iterator[Finding]:
    """Rules that a mode which does not run any more has left."""
    for footprint in view.detection.stale:
        remedy = Remedy(fixes=(_clean_up(view),))
        if footprint.mode == "nftables":
            tables = [words.split(":")[0].split()[1:] for words in footprint.evidence]
            remedy = Remedy(fixes=tuple(shell("nft", "delete", "table", *table) for table in tables))
        elif {footprint.mode, view.mode} == {"iptables", "ipvs"}:
            remedy = restart(view)
        yield Finding(
            check="stale-rules",
            severity=Severity.CRITICAL,
            subject=f"{footprint.mode} mode's rules of {footprint.owner.value}",
            evidence=(*footprint.evidence, f"the proxy that runs is in {view.mode} mode"),
            cause="The mode was changed without a clean-up: old rules send traffic to endpoints that may have gone.",
            fixes=remedy.fixes,
            advice=remedy.advice,
        )


def _clean_up(view: NodeView) -> str:
    """A switch to the mode that runs removes what other modes have left, and changes nothing else."""
    file = config_file(view)
    place = ["--config", file] if file else []
    return shell("kproxy", "switch", "--to", view.mode, "--node", *place, "--yes")
