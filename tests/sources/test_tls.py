"""Whom the client believes, and how it shows who it is, over real TLS."""

from base64 import b64encode
from pathlib import Path

import pytest

from kproxy.sources.client import ApiClient
from kproxy.sources.connection import Connection
from kproxy.sources.errors import ConfigurationError, CredentialError, TransportError
from kproxy.sources.kubeconfig import load_connection

from .certificates import Authority, Pair, server_context
from .kubeconfigs import write_kubeconfig
from .scripted_server import reply, scripted_server

OURS, THEIRS = Authority("ours"), Authority("theirs")
SERVER = OURS.address("127.0.0.1")


def encoded(data: bytes) -> str:
    return b64encode(data).decode()


async def ask(connection: Connection) -> bytes:
    async with ApiClient(connection) as client, client.get("/x", {}) as body:
        return await body.read(5)


async def test_server_of_the_right_authority_is_believed(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(OURS.certificate)
    async with scripted_server(server_context(SERVER, tmp_path)) as server:
        server.script("/x", *[reply(200, {})] * 2)
        for trust in (
            {"certificate-authority-data": encoded(OURS.certificate)},
            {"certificate-authority": "ca.crt"},  # relative to the kubeconfig
        ):
            assert await ask(load_connection(write_kubeconfig(tmp_path / "config", {"server": server.url} | trust)))


@pytest.mark.parametrize(
    ("authority", "pair", "name"),
    [
        (THEIRS, SERVER, None),
        (None, SERVER, None),
        (OURS, OURS.server("api.example"), None),
        (OURS, OURS.server("api.example"), "other.example"),
    ],
)
async def test_server_is_refused(tmp_path: Path, authority: Authority | None, pair: Pair, name: str | None) -> None:
    async with scripted_server(server_context(pair, tmp_path)) as server:
        cluster = {"server": server.url, "tls-server-name": name}
        if authority:
            cluster["certificate-authority-data"] = encoded(authority.certificate)
        with pytest.raises(TransportError, match="CERTIFICATE_VERIFY_FAILED"):
            await ask(load_connection(write_kubeconfig(tmp_path / "config", cluster)))
        assert server.requests == []


async def test_server_name_replaces_the_host(tmp_path: Path) -> None:
    async with scripted_server(server_context(OURS.server("api.example"), tmp_path)) as server:
        server.script("/x", reply(200, {}))
        ca = encoded(OURS.certificate)
        cluster = {"server": server.url, "tls-server-name": "api.example", "certificate-authority-data": ca}
        assert await ask(load_connection(write_kubeconfig(tmp_path / "config", cluster)))


async def test_any_server_is_believed_if_the_kubeconfig_says_so(tmp_path: Path) -> None:
    async with scripted_server(server_context(THEIRS.server("api.example"), tmp_path)) as server:
        server.script("/x", reply(200, {}))
        cluster = {"server": server.url, "insecure-skip-tls-verify": True}
        assert await ask(load_connection(write_kubeconfig(tmp_path / "config", cluster)))


async def test_client_certificates_inline_and_from_files_that_are_renewed(tmp_path: Path) -> None:
    first, second = OURS.client("first"), OURS.client("second")
    cluster = {"certificate-authority-data": encoded(OURS.certificate)}
    async with scripted_server(server_context(SERVER, tmp_path, clients=OURS)) as server:
        server.script("/x", *[reply(200, {})] * 5)
        cluster["server"] = server.url
        inline = {"client-certificate-data": encoded(first.certificate), "client-key-data": encoded(first.key)}
        assert await ask(load_connection(write_kubeconfig(tmp_path / "inline", cluster, inline)))

        first.write(tmp_path, "client")
        files = {"client-certificate": "client.crt", "client-key": str(tmp_path / "client.key")}
        connection = load_connection(write_kubeconfig(tmp_path / "files", cluster, files))
        async with ApiClient(connection) as client:
            before = (await connection.credentials.current()).certificate
            async with client.get("/x", {}) as body:
                assert await body.read(5)
            second.write(tmp_path, "client")
            assert (await connection.credentials.current()).certificate != before
            async with client.get("/x", {}) as body:
                assert await body.read(5)
        assert len(server.requests) == 3

        stranger = THEIRS.client("stranger")
        inline = {"client-certificate-data": encoded(stranger.certificate), "client-key-data": encoded(stranger.key)}
        with pytest.raises(TransportError):
            await ask(load_connection(write_kubeconfig(tmp_path / "stranger", cluster, inline)))


async def test_unusable_certificates_are_named(tmp_path: Path) -> None:
    cluster = {"server": "https://127.0.0.1:1", "certificate-authority-data": encoded(b"no certificate")}
    with pytest.raises(ConfigurationError, match=r"config: clusters\[here\].*certificate-authority-data"):
        await ask(load_connection(write_kubeconfig(tmp_path / "config", cluster)))
    one, other = OURS.client("one"), OURS.client("other")
    user = {"client-certificate-data": encoded(one.certificate), "client-key-data": encoded(other.key)}
    with pytest.raises(CredentialError, match="not a usable PEM pair"):
        await ask(load_connection(write_kubeconfig(tmp_path / "config", {"server": "https://127.0.0.1:1"}, user)))
    missing = {"client-certificate": "missing.crt", "client-key": "missing.key"}
    with pytest.raises(CredentialError, match=r"missing\.crt: No such file"):
        await ask(load_connection(write_kubeconfig(tmp_path / "config", {"server": "https://127.0.0.1:1"}, missing)))
