"""TLS contexts that follow certificates as they are renewed."""

import os
import ssl
from dataclasses import dataclass, field

from kproxy.sources.errors import ConfigurationError, CredentialError
from kproxy.sources.secret_content import Content


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate chain and its private key, both PEM."""

    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TlsTrust:
    """Whom the client believes: `authority` holds PEM certificates (None: the system's), `insecure` believes anyone."""

    authority: Content | None = None
    insecure: bool = False


class TlsContexts:
    """Builds the context for a request, and keeps it while nothing it was made of changes.

    A new context means new connections; those open under the old one end with their requests.
    """

    def __init__(self, trust: TlsTrust) -> None:
        self._trust = trust
        self._made_of: tuple[bytes | None, ClientCertificate | None] | None = None
        self._context: ssl.SSLContext | None = None

    def context(self, certificate: ClientCertificate | None) -> ssl.SSLContext:
        """Raises ConfigurationError for an unusable authority, CredentialError for an unusable certificate."""
        authority = self._trust.authority.read() if self._trust.authority else None
        made_of = (authority, certificate)
        if self._context is None or made_of != self._made_of:
            self._context = self._build(authority, certificate)
            self._made_of = made_of
        return self._context

    def _build(self, authority: bytes | None, certificate: ClientCertificate | None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # An intermediate authority in the file is trusted in its own right, as other Kubernetes clients do.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if self._trust.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif authority is None:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        else:
            _load_authority(context, authority, self._trust.authority)
        if certificate is not None:
            _load_certificate(context, certificate)
        return context


def _load_authority(context: ssl.SSLContext, authority: bytes, content: Content | None) -> None:
    try:
        context.load_verify_locations(cadata=authority.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError(f"{content}: no usable PEM certificate: {error}") from error


def _load_certificate(context: ssl.SSLContext, certificate: ClientCertificate) -> None:
    """Pass the pair to OpenSSL, which reads files only, through memory that never reaches a disk."""
    with os.fdopen(os.memfd_create("client-certificate"), "wb") as memory:
        memory.write(certificate.certificate + b"\n" + certificate.key)
        memory.flush()
        try:
            # An empty password, lest OpenSSL ask for one on the terminal.
            context.load_cert_chain(f"/proc/self/fd/{memory.fileno()}", password="")
        except (ssl.SSLError, OSError) as error:
            raise CredentialError(f"client certificate and key are not a usable PEM pair: {error}") from error
