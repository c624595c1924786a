"""What a benchmark ran on: kernel, processor, memory, and the versions of the programs that had a part in it."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import kproxy
from kproxy.bench.results.schema import Machine

_PROGRAMS = {
    "wrk": ["wrk", "--version"],
    "iperf3": ["iperf3", "--version"],
    "nft": ["nft", "--version"],
    "iptables-legacy": ["iptables-legacy", "--version"],
    "iptables-nft": ["iptables-nft", "--version"],
    "ipvsadm": ["ipvsadm", "--version"],
}
_VERSION = re.compile(r"v?(\d+(?:\.\d+)+\S*)")
_PATIENCE = 5.0
_EMULATED_PROCESSOR = re.compile(r"\bQEMU TCG CPU\b")
_EMULATOR: Final = "qemu"
"""What systemd-detect-virt(1) calls QEMU without KVM or another hypervisor below: it asks the CPUID leaf 0x40000000."""


def describe() -> Machine:
    """The machine that we are on, as far as it tells."""
    processor, virtualisation = _processor(), _virtualisation()
    return Machine(
        kernel=f"{platform.system()} {platform.release()}",
        processor=processor,
        cores=len(os.sched_getaffinity(0)),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        python=platform.python_version(),
        kproxy=kproxy.__version__,
        commit=_commit(),
        programs={name: _version(argv) for name, argv in _PROGRAMS.items()},
        virtualisation=virtualisation,
        emulated=is_emulated(processor, virtualisation),
    )


def is_emulated(processor: str, virtualisation: str) -> bool:
    """Whether a program imitates the processor.

    Args:
        processor: its model's name in /proc/cpuinfo; QEMU's own models have such names under hypervisors as well,
            except for the one that has all that the emulator can do
        virtualisation: what systemd-detect-virt(1) says
    """
    return virtualisation == _EMULATOR or _EMULATED_PROCESSOR.search(processor) is not None


def _virtualisation() -> str:
    said = _output(["systemd-detect-virt", "--vm"]).strip()
    return said if re.fullmatch(r"[a-z0-9-]+", said) and said != "none" else ""


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()


def _version(argv: Sequence[str]) -> str:
    if shutil.which(argv[0]) is None:
        return "missing"
    found = _VERSION.search(_output(argv))
    return found[1] if found else "unknown"


def _commit() -> str:
    folder = str(Path(kproxy.__file__).parent)
    commit = _output(["git", "-C", folder, "rev-parse", "--short", "HEAD"]).strip()
    if not re.fullmatch(r"[0-9a-f]+", commit):
        return ""
    changed = _output(["git", "-C", folder, "status", "--porcelain", "--untracked-files=no", "--", folder]).strip()
    return f"{commit}+" if changed else commit


def _output(argv: Sequence[str]) -> str:
    """What a program answers, also if it ends with an error as wrk does; what it complains of is no answer."""
    try:
        ended = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=_PATIENCE, check=False, text=True
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ended.stdout
