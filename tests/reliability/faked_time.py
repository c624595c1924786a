"""A process with a time of its own, by libfaketime: fast, or one that jumps while it runs."""

from collections.abc import Mapping
from pathlib import Path

import pytest

_LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))

needs_libfaketime = pytest.mark.skipif(not _LIBRARIES, reason="needs libfaketime (Debian's package faketime)")


def fast(factor: int) -> Mapping[str, str]:
    """An environment in which all clocks go faster, and waiting takes as much less."""
    return {"LD_PRELOAD": str(_LIBRARIES[0]), "FAKETIME": f"+0 x{factor}"}


class WallClock:
    """The time of day that a process sees; intervals stay as they are."""

    def __init__(self, file: Path) -> None:
        """Be right, as yet; the file is what tells the process."""
        self._file = file
        self.jump(0)

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "LD_PRELOAD": str(_LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def jump(self, seconds: int) -> None:
        """Be that far from the true time from now on."""
        self._file.write_text(f"{seconds:+d}")
