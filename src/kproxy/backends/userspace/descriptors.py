"""How many descriptors a process may have (RLIMIT_NOFILE, setrlimit(2)), and what that means for the limits."""

import resource

import msgspec

from kproxy.backends.userspace.options import Limits

_PER_CONNECTION, _PER_PIPE = 2, 2
_OTHERS = 512
"""Local ports and what else a worker has open."""
_FLOWS_SHARE, _PIPES_SHARE = 8, 32
"""Where descriptors are short, flows may have an eighth of them, pipes one of 32."""


def fit(limits: Limits) -> Limits:
    """Let child processes have as many descriptors as the limits need, or lower the limits to what is possible."""
    wanted = limits.connections * _PER_CONNECTION + limits.flows + limits.pipes * _PER_PIPE + _OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, wanted))
        except (ValueError, OSError):
            return _lowered(limits, hard)
    return limits


def _lowered(limits: Limits, descriptors: int) -> Limits:
    available = max(0, descriptors - _OTHERS)
    flows = max(1, min(limits.flows, available // _FLOWS_SHARE))
    pipes = min(limits.pipes, available // _PIPES_SHARE // _PER_PIPE)
    connections = max(1, (available - flows - pipes * _PER_PIPE) // _PER_CONNECTION)
    return msgspec.structs.replace(limits, flows=flows, pipes=pipes, connections=min(limits.connections, connections))


def use_all() -> None:
    """Let this process have as many as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
