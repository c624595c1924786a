"""How readily the kernel kills this process when memory runs out (proc_pid_oom_score_adj(5))."""

from pathlib import Path

_FILE = Path("/proc/self/oom_score_adj")


def set_oom_score_adj(value: int) -> bool:
    """Set it for this process; returns whether it was something else.

    Args:
        value: -1000 (never) to 1000 (first of all)

    Raises:
        PermissionError: lowering it takes CAP_SYS_RESOURCE
        OSError: /proc cannot be written
    """
    if int(_FILE.read_text(encoding="ascii")) == value:
        return False
    _FILE.write_text(str(value), encoding="ascii")
    return True
