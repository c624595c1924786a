"""Everything that helps another person to see what is wrong with a node, in one archive, without secrets."""

import asyncio
import io
import os
import platform
import tarfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from kproxy import __version__
from kproxy.config.dump import to_yaml
from kproxy.inspect.doctor.examination import Examination
from kproxy.inspect.doctor.redaction import redact
from kproxy.inspect.doctor.view import NodeView
from kproxy.inspect.output import InspectionError
from kproxy.kernel.processes import ProcessError, run_blocking
from kproxy.services.objects import EndpointSlice, KubeObject, Service

_TIMEOUT = 60.0
_LOG_LINES = "5000"
_MOST_LOG_BYTES = 8 << 20
_COMMANDS: dict[str, tuple[str, ...]] = {
    "rules/nft.txt": ("nft", "list", "ruleset"),
    "rules/iptables-legacy.txt": ("iptables-legacy-save", "-c"),
    "rules/iptables-nft.txt": ("iptables-nft-save", "-c"),
    "rules/ip6tables-legacy.txt": ("ip6tables-legacy-save", "-c"),
    "rules/ip6tables-nft.txt": ("ip6tables-nft-save", "-c"),
    "rules/ipvs.txt": ("ipvsadm", "-Ln", "--stats"),
    "rules/ipset.txt": ("ipset", "list"),
    "network/addresses.txt": ("ip", "-d", "address"),
    "network/routes.txt": ("ip", "route", "show", "table", "all"),
    "network/policy-rules.txt": ("ip", "rule"),
    "network/sockets.txt": ("ss", "-tuln"),
    "network/conntrack-statistics.txt": ("conntrack", "-S"),
    "versions/nft.txt": ("nft", "--version"),
    "versions/iptables.txt": ("iptables", "--version"),
    "versions/modules.txt": ("lsmod",),
    "logs/kube-proxy.txt": ("journalctl", "--no-pager", "-n", _LOG_LINES, "-u", "kube-proxy", "-u", "kproxy"),
    "logs/kernel.txt": ("dmesg", "--ctime"),
}
_SYSCTL_FOLDERS = ("net/ipv4", "net/ipv6/conf/all", "net/netfilter", "net/bridge", "net/core")
_POD_LOGS = Path("/var/log/pods")
_KEPT_ANNOTATIONS = ("kproxy/", "endpoints.kubernetes.io/", "service.kubernetes.io/topology")


async def write_bundle(path: Path, view: NodeView, examination: Examination, secrets: set[str]) -> list[str]:
    """Collect, and write a gzipped tar.

    Args:
        path: of the archive; what was there is replaced
        view: the node
        examination: what the checks found
        secrets: values that must not be in it

    Returns:
        The names of the files in it.

    Raises:
        InspectionError: it cannot be written
    """
    files = await asyncio.to_thread(lambda: dict(_collect(view, examination)))
    root = f"kproxy-doctor-{view.node}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    cleaned = {name: redact(text, secrets) for name, text in files.items() if text}
    try:
        await asyncio.to_thread(_write, path, root, cleaned)
    except OSError as error:
        raise InspectionError(f"{path}: {error.strerror}") from error
    return sorted(cleaned)


def _write(path: Path, root: str, files: dict[str, str]) -> None:
    temporary = path.with_name(f"{path.name}.partial")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, text in sorted(files.items()):
                data = text.encode(errors="replace")
                entry = tarfile.TarInfo(f"{root}/{name}")
                entry.size, entry.mode, entry.mtime = len(data), 0o600, int(time.time())
                archive.addfile(entry, io.BytesIO(data))
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _collect(view: NodeView, examination: Examination) -> Iterator[tuple[str, str]]:
    yield "doctor.json", msgspec.json.format(msgspec.json.encode(examination), indent=2).decode()
    yield "configuration.yaml", to_yaml(view.configuration)
    yield "versions/kproxy.txt", f"kproxy {__version__}, Python {platform.python_version()}, {' '.join(os.uname())}\n"
    yield "detection.txt", _detection(view)
    running = view.detection.running
    if running is not None:
        samples = (f"{sample.name}{_labels(sample.labels)} {sample.value}" for sample in running.samples)
        yield "proxy/metrics.txt", "\n".join(samples) + "\n"
        yield "proxy/configz.json", msgspec.json.format(msgspec.json.encode(running.configuration), indent=2).decode()
        if running.healthz:
            yield "proxy/healthz.txt", f"{running.healthz.status}\n{running.healthz.body.decode(errors='replace')}\n"
    yield from _objects(view)
    yield "sysctls.txt", "\n".join(_sysctls()) + "\n"
    for name, command in _COMMANDS.items():
        yield name, _output(command)
    yield from _pod_logs()


def _labels(labels: object) -> str:
    pairs = [f'{key}="{value}"' for key, value in dict(labels).items()] if isinstance(labels, dict) else []
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _detection(view: NodeView) -> str:
    found = view.detection
    owner = found.owner.value if found.owner else "unknown"
    lines = [f"mode: {found.mode}", f"proxy: {owner}", *found.evidence, *map(str, found.processes)]
    lines += [f"stale: {words}" for footprint in found.stale for words in footprint.evidence]
    return "\n".join((*lines, *view.problems)) + "\n"


def _objects(view: NodeView) -> Iterator[tuple[str, str]]:
    """What a proxy reads of Services and EndpointSlices: no other kinds, and few of their annotations."""
    if view.desired is None:
        return
    services = [_plain(service) for service in view.desired.services.values()]
    slices = [_plain(each) for group in view.desired.slices.values() for each in group]
    for name, objects in (("services", services), ("endpointslices", slices)):
        yield f"objects/{name}.json", msgspec.json.format(msgspec.json.encode(objects), indent=2).decode()


def _plain(obj: Service | EndpointSlice) -> KubeObject:
    kept = {k: v for k, v in (obj.metadata.annotations or {}).items() if k.startswith(_KEPT_ANNOTATIONS)}
    return msgspec.structs.replace(obj, metadata=msgspec.structs.replace(obj.metadata, annotations=kept or None))


def _sysctls() -> Iterator[str]:
    root = Path("/proc/sys")
    for folder in _SYSCTL_FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            try:
                value = " ".join(path.read_text(encoding="utf-8", errors="replace").split()) if path.is_file() else None
            except OSError:
                continue  # not for reading
            if value is not None and "secret" not in path.name and "key" not in path.name:
                yield f"{path.relative_to(root)} = {value}"


def _output(command: Sequence[str]) -> str:
    try:
        return run_blocking(command, time_limit=_TIMEOUT).decode(errors="replace")
    except ProcessError as error:
        return f"{error}\n"


def _pod_logs() -> Iterator[tuple[str, str]]:
    """The last of what kube-proxy's pod on this node has logged, as the kubelet keeps it."""
    for path in sorted(_POD_LOGS.glob("kube-system_*kube-proxy-*/*/*.log")) + sorted(
        _POD_LOGS.glob("kube-system_*kproxy-*/*/*.log")
    ):
        try:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - _MOST_LOG_BYTES))
                yield f"logs/{path.parts[-3]}-{path.name}.txt", file.read().decode(errors="replace")
        except OSError:
            continue  # rotated away meanwhile
