"""What can go wrong between the API server and a source."""

from typing import Final

GONE: Final = 410
UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403


class SourceError(Exception):
    """A source cannot do its work; the message is for an operator, one line, and holds no secret."""

    def __init__(self, message: str) -> None:
        # Names and explanations come from files and servers: none of them may start a line of its own in a log.
        super().__init__("".join(char if char.isprintable() else " " for char in message))


class ConfigurationError(SourceError):
    """A kubeconfig or the in-cluster environment is unusable; the message names the file and the field."""


class CredentialError(SourceError):
    """A token, a certificate or an exec plugin could not be used."""


class TransportError(SourceError):
    """The server could not be reached, or the connection broke."""


class IdleTimeoutError(TransportError):
    """An open response carried no byte for too long."""


class MalformedResponseError(SourceError):
    """The server answered with something that is not the API's protocol."""


class ApiError(SourceError):
    """The server refused, with a `meta/v1` Status.

    `code` is the HTTP status, `reason` the machine-readable word of the Status ("" when the body was none),
    `retry_after` the seconds the server asks to wait, `causes` the reasons in the Status' details.
    """

    def __init__(
        self, code: int, reason: str, message: str, *, retry_after: float | None = None, causes: tuple[str, ...] = ()
    ) -> None:
        super().__init__(f"{code} {reason}: {message}" if reason else f"{code}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.causes = causes

    @property
    def expired(self) -> bool:
        """The resourceVersion or continue token is older than the server remembers."""
        return self.code == GONE or self.reason in {"Expired", "Gone"}

    @property
    def ahead(self) -> bool:
        """The resourceVersion is newer than this server has seen, as after a restore of etcd."""
        return "ResourceVersionTooLarge" in self.causes or "Too large resource version" in self.message
