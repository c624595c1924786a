"""Credentials that a program prints: `client.authentication.k8s.io` exec plugins."""

import asyncio
import logging
import os
import shutil
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec

from kproxy.sources.clock import Clock
from kproxy.sources.credentials import Credential, bearer_header
from kproxy.sources.errors import CredentialError
from kproxy.sources.tls import ClientCertificate

API_VERSIONS: Final = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_STDERR_SHOWN: Final = 2048
_DRAIN: Final = 1.0

log = logging.getLogger(__name__)


class ExecStatus(msgspec.Struct, rename="camel", frozen=True):
    """The `status` of an ExecCredential."""

    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""
    expiration_timestamp: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class ExecCredential(msgspec.Struct, rename="camel", frozen=True):
    """What a plugin prints."""

    api_version: str
    kind: str
    status: ExecStatus | None = None


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """How to call a plugin.

    `command` is looked up in PATH, or relative to `folder` (that of the kubeconfig) when it holds a slash;
    `cluster` is what `provideClusterInfo` asks to be passed on; `timeout` is in seconds.
    """

    api_version: str
    command: str
    args: Sequence[str] = ()
    env: Sequence[tuple[str, str]] = ()
    folder: Path = Path()
    cluster: dict[str, object] | None = None
    install_hint: str = ""
    timeout: float = 60.0


class ExecCredentials:
    """Runs the plugin when a credential is needed, and keeps the answer until it expires or is refused."""

    def __init__(self, plugin: ExecPlugin, clock: Clock) -> None:
        self._plugin = plugin
        self._clock = clock
        self._running = asyncio.Lock()
        self._credential: Credential | None = None
        self._expires = float("inf")

    async def current(self) -> Credential:
        async with self._running:
            if self._credential is None or self._clock.time() >= self._expires:
                self._credential = None
                status = _parse(self._plugin, await _run(self._plugin))
                self._credential = _credential(self._plugin, status)
                expires = status.expiration_timestamp
                self._expires = float("inf") if expires is None else expires.timestamp()
            return self._credential

    def refuse(self, credential: Credential) -> None:
        # Several requests may be refused for the same credential; the first of them has it replaced.
        if credential == self._credential:
            self._credential = None


async def _run(plugin: ExecPlugin) -> bytes:
    info = {
        "apiVersion": plugin.api_version,
        "kind": "ExecCredential",
        "spec": {"interactive": False} | ({"cluster": plugin.cluster} if plugin.cluster else {}),
    }
    env = os.environ | dict(plugin.env) | {"KUBERNETES_EXEC_INFO": msgspec.json.encode(info).decode()}
    try:
        process = await asyncio.create_subprocess_exec(
            _executable(plugin),
            *plugin.args,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise _failure(plugin, f"cannot be run: {error.strerror}") from error
    try:
        async with asyncio.timeout(plugin.timeout):
            output, errors = await process.communicate()
    except TimeoutError as error:
        raise _failure(plugin, f"gave no answer within {plugin.timeout:g} s") from error
    finally:
        if process.returncode is None:
            await _end(process)
    if process.returncode != 0:
        said = errors[-_STDERR_SHOWN:].decode(errors="replace").strip()
        raise _failure(
            plugin, f"exited with {process.returncode}: {said}" if said else f"exited with {process.returncode}"
        )
    return output


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill a plugin that is still at work, with its children, and see its pipes close unless one got away."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN):
            await process.communicate()


def _executable(plugin: ExecPlugin) -> str:
    if "/" in plugin.command:
        return str(plugin.folder / plugin.command)
    found = shutil.which(plugin.command)
    if found is None:
        raise _failure(plugin, "not found in PATH")
    return found


def _parse(plugin: ExecPlugin, output: bytes) -> ExecStatus:
    try:
        answer = msgspec.json.decode(output, type=ExecCredential)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _failure(plugin, f"did not print an ExecCredential: {error}") from error
    if answer.kind != "ExecCredential" or answer.api_version != plugin.api_version:
        raise _failure(
            plugin, f"printed {answer.api_version} {answer.kind}, wanted {plugin.api_version} ExecCredential"
        )
    if answer.status is None:
        raise _failure(plugin, "printed no status")
    return answer.status


def _credential(plugin: ExecPlugin, status: ExecStatus) -> Credential:
    certificate, key = status.client_certificate_data, status.client_key_data
    if bool(certificate) != bool(key):
        raise _failure(plugin, "must print clientCertificateData and clientKeyData together")
    if not status.token and not certificate:
        raise _failure(plugin, "printed neither a token nor a client certificate")
    return Credential(
        authorization=bearer_header(status.token.encode(), f"exec plugin {plugin.command}") if status.token else None,
        certificate=ClientCertificate(certificate.encode(), key.encode()) if certificate else None,
    )


def _failure(plugin: ExecPlugin, problem: str) -> CredentialError:
    hint = f" ({plugin.install_hint.strip()})" if plugin.install_hint else ""
    return CredentialError(f"exec plugin {plugin.command} {problem}{hint}")
