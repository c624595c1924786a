"""A kubeconfig of any content: a connection, or one line that names the file and never holds a secret."""

import asyncio
import json
import os
from base64 import b64encode
from pathlib import Path

from kproxy.sources.credentials import StoredCredentials
from kproxy.sources.errors import SourceError
from kproxy.sources.kubeconfig import load_connection
from kproxy.sources.secret_content import InlineContent
from kproxy.sources.tls import TlsContexts

_FILE = os.memfd_create("kubeconfig")
_PATH = Path(f"/proc/self/fd/{_FILE}")
_SECRET = "correct-horse-battery-staple"
_BY_HAND = b"""
current-context: &m me
contexts: [{name: *m, context: {cluster: c}}]
clusters:
- name: c
  cluster: {server: h}
"""
_PEM = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"

WORDS = (
    *("clusters", "contexts", "users", "current-context", "cluster", "context", "user", "name", "server", "token"),
    *("certificate-authority-data", "client-certificate-data", "client-key-data", "insecure-skip-tls-verify"),
    *("tls-server-name", "proxy-url", "disable-compression", "exec", "command", "apiVersion", "interactiveMode"),
    *("client.authentication.k8s.io/v1", "args", "env", "extensions", "as", "auth-provider", "https://", "[::1]"),
    *("username", "password", "provideClusterInfo", "!!int", "!!binary", "!!float", "!!set", "&a", "*a", "<<", "~"),
)


def _kubeconfig(cluster: dict[str, object], user: dict[str, object]) -> bytes:
    content = {
        "clusters": [{"name": "here", "cluster": cluster}],
        "contexts": [{"name": "me", "context": {"cluster": "here", "user": "me"}}],
        "users": [{"name": "me", "user": user}],
        "current-context": "me",
    }
    return json.dumps(content, indent=1).encode()


def seeds() -> list[bytes]:
    """Files that load."""
    pem = b64encode(_PEM).decode()
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "./login", "interactiveMode": "Never"}
    secure: dict[str, object] = {"server": "https://[::1]:6443/x", "certificate-authority-data": pem}
    return [
        _kubeconfig({"server": "http://10.0.0.1"}, {"token": _SECRET}),
        _kubeconfig(secure | {"tls-server-name": "api"}, {"client-certificate-data": pem, "client-key-data": pem}),
        _kubeconfig(secure | {"proxy-url": "http://p"}, {"exec": plugin | {"env": [{"name": "A", "value": "b"}]}}),
        _kubeconfig({"server": "10.0.0.1", "disable-compression": True}, {"username": "u", "password": _SECRET}),
        _BY_HAND,
    ]


def run(data: bytes) -> None:
    """Load a file, and use what it holds; what it only points to is left alone."""
    os.ftruncate(_FILE, 0)
    os.pwrite(_FILE, data, 0)
    try:
        connection = load_connection(_PATH)
        assert connection.server.startswith(("http://", "https://"))
        assert _SECRET not in repr(connection)
        credentials, authority = connection.credentials, connection.trust.authority
        if isinstance(credentials, StoredCredentials) and _is_inline(credentials):
            credential = asyncio.run(credentials.current())
            assert _SECRET not in repr(credential)
            if authority is None or isinstance(authority, InlineContent):
                TlsContexts(connection.trust).context(credential.certificate)
    except SourceError as error:
        text = str(error)
        assert text, "an error without words"
        assert len(text.splitlines()) == 1, text
        assert _SECRET not in text, text


def _is_inline(credentials: StoredCredentials) -> bool:
    contents = [credentials._bearer, *(credentials._certificate or ())]
    return all(content is None or isinstance(content, InlineContent) for content in contents)
