"""klog's verbosity, on Python's levels.

| Python | klog |
|---|---|
| WARNING and above | always |
| INFO (20) | `-v=0` |
| 19, 18, 17 | `-v=1`, `-v=2`, `-v=3` |
| DEBUG (10) | `-v=4` |
| 9 down to 1 | `-v=5` up to `-v=13` |
"""

import logging
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple

from kproxy.config.logging_section import VModule

_DEBUG_VERBOSITY = 4
_STEPS_BELOW_INFO = 3


def verbosity_of(level: int) -> int:
    """The least `-v` that shows a level."""
    if level >= logging.INFO:
        return 0
    if level >= logging.INFO - _STEPS_BELOW_INFO:
        return logging.INFO - level
    return max(_DEBUG_VERBOSITY, _DEBUG_VERBOSITY + logging.DEBUG - level)


def lowest_level(verbosity: int) -> int:
    """The lowest level that `-v` shows."""
    if verbosity <= _STEPS_BELOW_INFO:
        return logging.INFO - max(verbosity, 0)
    return max(1, logging.DEBUG + _DEBUG_VERBOSITY - verbosity)


class _Pattern(NamedTuple):
    files: str
    verbosity: int


class Verbosity(logging.Filter):
    """`-v`, and `--vmodule` for single source files: the first pattern that fits a file's name shows more of it."""

    def __init__(self, verbosity: int, modules: Iterable[VModule]) -> None:
        """Set the root logger's level, so that what no file shows costs nothing.

        Args:
            verbosity: for all files
            modules: for some; a pattern stands for a file's name without folder and suffix
        """
        super().__init__()
        self._patterns = [_Pattern(module.file_pattern, module.verbosity) for module in modules]
        self.set(verbosity)

    def set(self, verbosity: int) -> None:
        """Change it for all files; may be done at any time."""
        self._verbosity = verbosity
        most = max([verbosity, *(pattern.verbosity for pattern in self._patterns)])
        logging.getLogger().setLevel(lowest_level(most))

    def filter(self, record: logging.LogRecord) -> bool:
        needed = verbosity_of(record.levelno)
        if needed <= self._verbosity:
            return True
        for pattern in self._patterns:
            if fnmatchcase(record.module, pattern.files):
                return needed <= pattern.verbosity
        return False
