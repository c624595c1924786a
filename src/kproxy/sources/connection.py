"""How to reach an API server."""

from dataclasses import dataclass, field

from kproxy.sources.credentials import Credentials
from kproxy.sources.tls import TlsTrust


@dataclass(frozen=True, slots=True)
class Connection:
    """A server and what it takes to talk to it.

    `server` is an http or https URL without a trailing slash, possibly with a path; `server_name` replaces
    its host in the certificate check; `proxy` is an http or https URL; `compression` allows gzip answers.
    """

    server: str
    trust: TlsTrust
    credentials: Credentials
    server_name: str | None = None
    proxy: str | None = field(default=None, repr=False)
    compression: bool = True
