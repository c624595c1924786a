"""Tokens, keys and certificates, given inline or in a file that may be rotated."""

import logging
from pathlib import Path
from typing import Protocol

from kproxy.sources.errors import CredentialError

log = logging.getLogger(__name__)


class Content(Protocol):
    """Bytes to read anew before each use; as text it says where they come from, never what they are."""

    def read(self) -> bytes:
        """Raises CredentialError when there is nothing to read."""


class InlineContent:
    """Bytes that stand in the kubeconfig itself."""

    def __init__(self, value: bytes, origin: str) -> None:
        self._value = value
        self._origin = origin

    def __str__(self) -> str:
        return self._origin

    def read(self) -> bytes:
        return self._value


class FileContent:
    """A file, read at each use: requests are rare beside a file's few microseconds, and a rotated token is never stale.

    When the file cannot be read, the last good content (at first `fallback`) serves on, with one warning.
    """

    def __init__(self, path: Path, *, fallback: bytes | None = None) -> None:
        self._path = path
        self._last = fallback
        self._failing = False

    def __str__(self) -> str:
        return str(self._path)

    def read(self) -> bytes:
        try:
            value = self._path.read_bytes()
        except OSError as error:
            if self._last is None:
                raise CredentialError(f"{self._path}: {error.strerror}") from error
            if not self._failing:
                log.warning("%s: %s; using what was read last", self._path, error.strerror)
            self._failing = True
            return self._last
        self._failing = False
        if not value.strip() and self._last is not None:
            # Seen while a writer that truncates first is at work.
            return self._last
        self._last = value
        return value
