"""Plugins that are real programs."""

import asyncio
import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from kproxy.sources.client import ApiClient
from kproxy.sources.connection import Connection
from kproxy.sources.errors import CredentialError
from kproxy.sources.exec_credentials import ExecCredentials, ExecPlugin
from kproxy.sources.kubeconfig import load_connection
from kproxy.sources.tls import TlsTrust

from .certificates import Authority
from .kubeconfigs import write_kubeconfig
from .scripted_server import ScriptedServer, refuse, reply
from .skipping_clock import SkippingClock

V1 = "client.authentication.k8s.io/v1"
V1BETA1 = "client.authentication.k8s.io/v1beta1"


def script(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def answer(status: dict[str, Any], version: str = V1) -> str:
    return json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status})


def counting(folder: Path, status: dict[str, Any]) -> str:
    """A plugin whose token is the number of times it ran."""
    return script(
        folder / "plugin",
        f"echo x >>{folder}/runs\ncat <<END | sed s/RUN/$(wc -l <{folder}/runs)/\n{answer(status)}\nEND",
    )


async def test_environment_and_arguments(tmp_path: Path) -> None:
    plugin = script(
        tmp_path / "plugin",
        f'echo "$1,$2,$KIND,$HOME" >{tmp_path}/seen; echo "$KUBERNETES_EXEC_INFO" >{tmp_path}/info\n'
        f"cat <<'END'\n{answer({'token': 'tok'}, V1BETA1)}\nEND",
    )
    assert plugin
    user = {
        "exec": {
            "apiVersion": V1BETA1,
            "command": "./plugin",  # relative to the kubeconfig
            "args": ["one", "two words"],
            "env": [{"name": "KIND", "value": "of"}],
            "provideClusterInfo": True,
        }
    }
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}
    cluster = {"server": "https://api", "certificate-authority-data": "Q0E=", "extensions": [extension]}
    credentials = load_connection(write_kubeconfig(tmp_path / "config", cluster, user)).credentials
    assert (await credentials.current()).authorization == "Bearer tok"
    assert (tmp_path / "seen").read_text() == f"one,two words,of,{os.environ['HOME']}\n"
    assert json.loads((tmp_path / "info").read_text()) == {
        "apiVersion": V1BETA1,
        "kind": "ExecCredential",
        "spec": {
            "interactive": False,
            "cluster": {"server": "https://api", "certificate-authority-data": "Q0E=", "config": {"audience": "x"}},
        },
    }


async def test_answer_is_kept_until_it_expires_or_is_refused(tmp_path: Path) -> None:
    clock = SkippingClock()
    expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    command = counting(tmp_path, {"token": "RUN", "expirationTimestamp": expires})
    credentials = ExecCredentials(ExecPlugin(V1, command), clock)
    several = await asyncio.gather(*(credentials.current() for _ in range(5)))
    assert {credential.authorization for credential in several} == {"Bearer 1"}
    clock.skip(3601)
    second = await credentials.current()
    assert second.authorization == "Bearer 2"
    credentials.refuse(several[0])
    clock.skip(-3601)
    assert (await credentials.current()).authorization == "Bearer 2"
    credentials.refuse(second)
    assert (await credentials.current()).authorization == "Bearer 3"


async def test_refusal_by_the_server_runs_the_plugin_again(server: ScriptedServer, tmp_path: Path) -> None:
    server.script("/x", refuse(401, "Unauthorized"), reply(200, {}))
    credentials = ExecCredentials(ExecPlugin(V1, counting(tmp_path, {"token": "RUN"})), SkippingClock())
    async with ApiClient(Connection(server.url, TlsTrust(), credentials)) as client:
        await client.post("/x", b"{}")
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer 1", "Bearer 2"]


async def test_client_certificate(tmp_path: Path) -> None:
    pair = Authority("a").client("me")
    status = {"clientCertificateData": pair.certificate.decode(), "clientKeyData": pair.key.decode()}
    command = script(tmp_path / "plugin", f"cat <<'END'\n{answer(status)}\nEND")
    credential = await ExecCredentials(ExecPlugin(V1, command), SkippingClock()).current()
    assert credential.authorization is None
    assert credential.certificate is not None
    assert credential.certificate.certificate == pair.certificate
    assert "PRIVATE" not in repr(credential)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("echo no way >&2; echo s3cret; exit 3", "exited with 3: no way"),
        ("exit 1", r"exited with 1 \(get it from the store\)"),
        ("echo {}", "did not print an ExecCredential"),
        ("echo s3cret", "did not print an ExecCredential"),
        (f"echo '{answer({'token': 's3cret'}, V1BETA1)}'", f"printed {V1BETA1} ExecCredential, wanted {V1}"),
        (f"echo '{answer({})}'", "neither a token nor a client certificate"),
        (f"echo '{answer({'clientKeyData': 's3cret'})}'", "clientCertificateData and clientKeyData together"),
        (f"echo '{answer({'token': 's3cret token'})}'", "characters that no HTTP header may carry"),
        (f"echo '{answer({'token': 's3cret', 'expirationTimestamp': 'soon'})}'", "expirationTimestamp"),
        ("sleep 60 & sleep 60", "gave no answer within 0.2 s"),
    ],
)
async def test_failures_say_why_and_show_no_secret(tmp_path: Path, body: str, problem: str) -> None:
    command = script(tmp_path / "plugin", body)
    plugin = ExecPlugin(V1, command, install_hint="get it from the store", timeout=0.2 if "sleep" in body else 10)
    started = time.monotonic()
    with pytest.raises(CredentialError, match=problem) as caught:
        await ExecCredentials(plugin, SkippingClock()).current()
    assert "s3cret" not in str(caught.value)
    assert command in str(caught.value)
    assert time.monotonic() - started < 10


async def test_missing_program(tmp_path: Path) -> None:
    for command, problem in (("no-such-plugin", "not found in PATH"), (str(tmp_path / "none"), "cannot be run")):
        with pytest.raises(CredentialError, match=problem):
            await ExecCredentials(ExecPlugin(V1, command), SkippingClock()).current()
