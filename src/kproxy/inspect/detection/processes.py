"""The proxies that run on this node, found in /proc."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kproxy.inspect.detection.footprints import Owner

_PROC = Path("/proc")


class ProxyProcess(NamedTuple):
    """A process that balances in this network namespace."""

    pid: int
    owner: Owner
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return f"process {self.pid} ({self.owner.value}): {' '.join(self.arguments)}"


def proxy_processes(proc: Path = _PROC) -> list[ProxyProcess]:
    """Every `kube-proxy` and `kproxy run` in the network namespace of the calling thread.

    Processes that end meanwhile, or that this user may not look at, are left out.
    """
    here = _namespace(proc / "thread-self")
    return [
        found
        for pid in sorted(int(entry.name) for entry in proc.iterdir() if entry.name.isdecimal())
        if (found := _proxy(proc, pid)) is not None and _namespace(proc / str(pid)) == here
    ]


def _namespace(process: Path) -> str:
    try:
        return str((process / "ns/net").readlink())
    except OSError:
        return ""


def _proxy(proc: Path, pid: int) -> ProxyProcess | None:
    try:
        line = (proc / str(pid) / "cmdline").read_bytes()
    except OSError:
        return None
    arguments = tuple(part.decode(errors="replace") for part in line.rstrip(b"\0").split(b"\0"))
    names = [Path(argument).name for argument in arguments]
    if not names[0]:
        return None
    interpreted = names[0].startswith("python")
    words = list(_words(names[1:] if interpreted else names))
    if words[:1] == ["kube-proxy"]:
        owner = Owner.KPROXY if interpreted else Owner.KUBE_PROXY
        # Subcommands and --cleanup are short-lived, and balance nothing.
        serving = not {"--cleanup", "--version", "--help"} & {name.partition("=")[0] for name in arguments}
        return ProxyProcess(pid, owner, arguments) if serving else None
    return ProxyProcess(pid, Owner.KPROXY, arguments) if words[:2] == ["kproxy", "run"] else None


def _words(names: list[str]) -> Iterator[str]:
    """The arguments that are not options."""
    return (name for name in names if not name.startswith("-"))
