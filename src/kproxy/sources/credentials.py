"""Who the client says it is: bearer tokens, basic authentication and client certificates."""

from base64 import b64encode
from dataclasses import dataclass, field
from typing import Protocol

from kproxy.sources.errors import CredentialError
from kproxy.sources.secret_content import Content
from kproxy.sources.tls import ClientCertificate


@dataclass(frozen=True, slots=True)
class Credential:
    """What one request proves its identity with: an Authorization header, a certificate, both or nothing."""

    authorization: str | None = field(default=None, repr=False)
    certificate: ClientCertificate | None = field(default=None, repr=False)


class Credentials(Protocol):
    """Gives each request its credential."""

    async def current(self) -> Credential:
        """Raises CredentialError when there is none to be had."""

    def refuse(self, credential: Credential) -> None:
        """Learn that the server answered 401 to it, so that the next `current` seeks another."""


class StoredCredentials:
    """Credentials that a kubeconfig holds, inline or in files.

    Files are read for each request, so a rotated one needs no expiry and no nudge by a 401.
    """

    def __init__(
        self,
        *,
        bearer: Content | None = None,
        basic: tuple[str, str] | None = None,
        certificate: tuple[Content, Content] | None = None,
    ) -> None:
        self._bearer = bearer
        self._basic = basic
        self._certificate = certificate

    async def current(self) -> Credential:
        return Credential(self._authorization(), self._client_certificate())

    def refuse(self, credential: Credential) -> None:
        """Nothing is cached that could be dropped."""

    def _authorization(self) -> str | None:
        if self._bearer is not None:
            return bearer_header(self._bearer.read(), str(self._bearer))
        if self._basic is not None:
            return "Basic " + b64encode(":".join(self._basic).encode()).decode("ascii")
        return None

    def _client_certificate(self) -> ClientCertificate | None:
        if self._certificate is None:
            return None
        certificate, key = self._certificate
        return ClientCertificate(certificate.read(), key.read())


def bearer_header(token: bytes, origin: str) -> str:
    """The Authorization header (RFC 6750) for a token; raises CredentialError naming its `origin` if it is unfit."""
    text = token.strip()
    if not text:
        raise CredentialError(f"{origin}: the token is empty")
    if not text.isascii() or any(byte <= 0x20 or byte == 0x7F for byte in text):
        raise CredentialError(f"{origin}: the token holds characters that no HTTP header may carry")
    return "Bearer " + text.decode("ascii")
