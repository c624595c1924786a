"""Who is measured: a command and a mode, and what keeps a mode from working on this machine."""

import os
import shutil
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from kproxy.lab.kubernetes_objects import Manifest
from kproxy.lab.proxy import configuration


class Mode(StrEnum):
    """Proxy modes, iptables by its variant."""

    NFTABLES = "nftables"
    IPTABLES = "iptables"
    """With iptables-legacy, the variant whose rules the kernel walks fastest."""
    IPTABLES_NFT = "iptables-nft"
    IPVS = "ipvs"
    USERSPACE = "userspace"

    @property
    def configured(self) -> str:
        """`mode` in the configuration."""
        return "iptables" if self is Mode.IPTABLES_NFT else self.value

    @property
    def variant(self) -> str | None:
        """The iptables variant that the node is made to use."""
        return {Mode.IPTABLES: "legacy", Mode.IPTABLES_NFT: "nft"}.get(self)


KERNEL_MODES: Final = (Mode.NFTABLES, Mode.IPTABLES, Mode.IPVS)
OURS: Final = "kproxy"
_IPVS: Final = Path("/proc/net/ip_vs")


class Contender(NamedTuple):
    """A proxy's command, to which `--config FILE -v 2` is appended."""

    name: str
    command: tuple[str, ...]

    def argv(self, mode: Mode, folder: Path) -> list[str]:
        """The command, with the mode's variant of iptables found first on PATH; links go into the folder."""
        if mode.variant is None:
            return list(self.command)
        for program in ("iptables", "ip6tables"):
            for suffix in ("", "-restore", "-save"):
                found = shutil.which(f"{program}-{mode.variant}{suffix}")
                link = folder / f"{program}{suffix}"
                if found and not link.is_symlink():
                    link.symlink_to(found)
        return ["env", f"PATH={folder}:{os.environ.get('PATH', '')}", *self.command]


def ours() -> Contender:
    """Our own `kube-proxy`, of the environment that this runs in."""
    return Contender(OURS, (str(Path(sys.executable).parent / "kube-proxy"),))


def settings(mode: Mode) -> Manifest:
    """The `KubeProxyConfiguration` that every contender gets: it syncs as soon as there is a change."""
    # Zero would mean the default, which is a second.
    soon = {"minSyncPeriod": "1ms"}
    return configuration(mode.configured, {"nftables": soon, "iptables": soon, "ipvs": soon})


def obstacle(mode: Mode) -> str | None:
    """Why a mode cannot work here; None when nothing is known to keep it from it."""
    if mode is Mode.IPVS and not _IPVS.exists() and not _loads_ip_vs():
        return "this kernel has no IPVS (no /proc/net/ip_vs, and no module ip_vs to load)"
    if mode.variant and shutil.which(f"iptables-{mode.variant}-restore") is None:
        return f"iptables-{mode.variant}-restore is not installed"
    return None


def _loads_ip_vs() -> bool:
    from kproxy.kernel.processes import ProcessError, run_blocking

    try:
        run_blocking(["modprobe", "ip_vs"], time_limit=10)
    except ProcessError:
        return False
    return _IPVS.exists()


def commands(contenders: Sequence[Contender]) -> dict[str, list[str]]:
    """Commands by name, for a result; a program below the working directory as seen from there."""
    return {each.name: [_from_here(each.command[0]), *each.command[1:]] for each in contenders}


def _from_here(program: str) -> str:
    path, here = Path(program), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else program
