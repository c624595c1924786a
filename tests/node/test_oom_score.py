"""How readily the kernel kills this process, as the kernel says it."""

import subprocess
import sys
from pathlib import Path

import pytest

from kproxy.kernel.oom_score import set_oom_score_adj

SCRIPT = """
from pathlib import Path
from kproxy.kernel.oom_score import set_oom_score_adj
print(set_oom_score_adj(int("{value}")), Path("/proc/self/oom_score_adj").read_text().strip())
print(set_oom_score_adj(int("{value}")))
"""


@pytest.mark.parametrize("value", [500, 1000])
def test_it_is_set_once(value: int) -> None:
    """In a process of its own: without privileges it could not be taken back."""
    argv = [sys.executable, "-c", SCRIPT.format(value=value)]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == f"True {value}\nFalse\n"


def test_what_it_is_already_takes_no_privileges() -> None:
    current = int(Path("/proc/self/oom_score_adj").read_text())
    assert not set_oom_score_adj(current)


def test_the_kernel_refuses_what_is_out_of_range() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        set_oom_score_adj(-1001)
