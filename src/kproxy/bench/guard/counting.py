"""What the interpreter does, counted: bytecode instructions, calls, and system calls made from Python.

Times depend on the machine and on its other work; these depend on the code, and for instructions on the version of
Python. They are counted by the hooks of `sys.settrace` and `sys.setprofile`, in two passes, for one disturbs the other.
"""

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType, FrameType, MethodDescriptorType
from typing import Any, Final

from kproxy.kernel.nftnl.transaction import Committed, NftSocket

_SYSTEM_CALLS: Final = {
    "socket": {"send", "sendto", "sendmsg", "recv", "recv_into", "recvfrom", "recvmsg", "setsockopt", "connect"},
    "epoll": {"poll", "register", "modify", "unregister"},
    "posix": {"open", "read", "write", "close", "lseek", "fstat", "stat", "fork", "posix_spawn", "pidfd_open"},
    "_io": {"open"},
}
"""Functions that make one each, by the type or module that they belong to."""
_COMMIT: Final = NftSocket.commit.__code__


@contextmanager
def counted_calls() -> Iterator[Counter[str]]:
    """Count calls of Python functions, system calls, and what nf_tables transactions send, in all new threads too."""
    counts: Counter[str] = Counter()

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            counts["calls"] += 1
        elif event == "c_call":
            if _makes_system_call(argument):
                counts["system calls"] += 1
        elif event == "return" and frame.f_code is _COMMIT and isinstance(argument, Committed):
            counts["netlink messages"] += argument.messages
            counts["netlink bytes"] += argument.bytes

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield counts
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        # The end of the block itself.
        counts["calls"] -= 1


@contextmanager
def counted_instructions() -> Iterator[Counter[str]]:
    """Count the bytecode instructions of functions that are called in the block, in all new threads too."""
    counts: Counter[str] = Counter()
    executed = [0]

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            executed[0] += 1
        return trace

    before = sys.gettrace()
    threading.settrace(trace)
    sys.settrace(trace)
    try:
        yield counts
    finally:
        sys.settrace(before)
        threading.settrace(None)
        counts["instructions"] = executed[0]


def _makes_system_call(function: BuiltinFunctionType | MethodDescriptorType) -> bool:
    owner = getattr(function, "__self__", None)
    if owner is None:
        return False
    kind = owner.__name__ if isinstance(owner, type(sys)) else type(owner).__name__
    return function.__name__ in _SYSTEM_CALLS.get(kind, ())
