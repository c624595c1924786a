"""Kernel settings under /proc/sys; those under `net/` are of the network namespace of the calling thread."""

from pathlib import Path

_ROOT = Path("/proc/sys")


def read_sysctl(name: str) -> str | None:
    """Read a setting; None when this kernel does not have it.

    Args:
        name: its path, such as `net/ipv4/ip_forward`

    Raises:
        OSError: it may not be read
    """
    try:
        return (_ROOT / name).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None


def set_sysctl(name: str, value: str) -> bool:
    """Give a setting a value, unless it has it; returns whether it was changed.

    Raises:
        OSError: this kernel does not have it, or it may not be written
    """
    path = _ROOT / name
    if path.read_text(encoding="ascii").strip() == value:
        return False
    path.write_text(value, encoding="ascii")
    return True
