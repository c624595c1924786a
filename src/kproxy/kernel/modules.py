"""Kernel modules: loading them, and saying why one cannot be had."""

import os
from pathlib import Path

from kproxy.kernel.processes import ProcessError, run_blocking

_TREE = Path("/lib/modules")
_TIMEOUT = 30.0


def load_module(name: str) -> str | None:
    """Load a module, with what it needs; returns None when it is there, else why not, in words."""
    if Path("/sys/module", name).is_dir():
        return None
    try:
        run_blocking(["modprobe", name], time_limit=_TIMEOUT)
    except ProcessError as error:
        return _reason(name, str(error))
    return None


def _reason(name: str, failure: str) -> str:
    release = os.uname().release
    tree = _TREE / release
    try:
        files = (tree / "modules.dep").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"there are no modules for Linux {release} in {tree}; on the node itself: modprobe {name}"
    if f"/{name}.ko" in files:
        return f"module {name} cannot be loaded ({failure}); as root, on the node itself: modprobe {name}"
    return f"Linux {release} was built without the module {name}"
