"""The garbage collector and the allocator, told what this process is: many small objects that live long."""

import contextlib
import gc
import os

_YOUNG = 100_000
"""New objects that a collection of the youngest generation waits for. A first list brings hundreds of thousands that
stay; with Python's 700, going through them again and again takes a third of the time."""


def expect_many_objects() -> None:
    """Call before the first object is taken in, and before numpy is imported.

    Its linear algebra, of which nothing is used here, begins with a thread for each CPU, and each with a buffer.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.set_threshold(_YOUNG, 20, 100)


def settle() -> None:
    """Call when what has come will stay: later collections pass over it, and free memory goes back to the system."""
    gc.collect()
    gc.freeze()
    with contextlib.suppress(OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)
