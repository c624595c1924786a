"""Kernel modules of a mode, loaded now and at every boot (modules-load.d(5))."""

from collections.abc import Sequence
from pathlib import Path

from kproxy.kernel.modules import load_module

FOLDER = Path("/etc/modules-load.d")
FILE = "kproxy.conf"
_SYS = Path("/sys/module")
HEAD = "# Kernel modules of the proxy mode {mode}; written by kproxy switch.\n"


def load_and_persist(mode: str, modules: Sequence[str], folder: Path = FOLDER) -> str:
    """Load modules, and list those that are modules here for the next boot; returns what was done, in words.

    Args:
        mode: whose they are
        modules: their names
        folder: where lists for the boot are

    Raises:
        OSError: the list cannot be written
    """
    refused = [module for module in modules if load_module(module) is not None]
    # What is built into the kernel has no file to load at boot; systemd would complain.
    present = [module for module in modules if module not in refused and (_SYS / module / "initstate").exists()]
    path = folder / FILE
    text = HEAD.format(mode=mode) + "".join(f"{module}\n" for module in present)
    if not present:
        return f"all of {', '.join(modules)} are built into this kernel, or not in it"
    folder.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    temporary.write_text(text, encoding="ascii")
    temporary.replace(path)
    return f"{', '.join(present)} loaded, and in {path}"
