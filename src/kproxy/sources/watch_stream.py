"""Lines out of a watch's byte stream."""

from typing import Final

from kproxy.sources.errors import MalformedResponseError

# Well above the largest object that etcd takes (1.5 MiB by default).
_LONGEST_LINE: Final = 32 * 1024 * 1024


class LineSplitter:
    """Cuts a stream at its newlines; each byte is copied at most twice, however the chunks fall."""

    def __init__(self) -> None:
        self._partial: list[bytes] = []
        self._size = 0

    @property
    def partial(self) -> bool:
        """Whether part of a line is waiting for its end."""
        return self._size > 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take some bytes, and give the lines that they complete, without newlines; raises MalformedResponseError."""
        lines = chunk.split(b"\n")
        if len(lines) > 1 and self._partial:
            self._partial.append(lines[0])
            lines[0] = b"".join(self._partial)
            self._partial.clear()
            self._size = 0
        rest = lines.pop()
        if rest:
            self._partial.append(rest)
            self._size += len(rest)
            if self._size > _LONGEST_LINE:
                raise MalformedResponseError(f"a watch event is longer than {_LONGEST_LINE} bytes")
        return lines
