"""From a kubeconfig file, or the environment of a pod, to a connection."""

from __future__ import annotations

import os
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec
import yaml

from kproxy.sources.clock import Clock, SystemClock
from kproxy.sources.connection import Connection
from kproxy.sources.credentials import Credentials, StoredCredentials
from kproxy.sources.errors import ConfigurationError
from kproxy.sources.exec_credentials import API_VERSIONS, ExecCredentials, ExecPlugin
from kproxy.sources.secret_content import Content, FileContent, InlineContent
from kproxy.sources.tls import TlsTrust
from kproxy.sources.yaml_loading import load_yaml

if TYPE_CHECKING:
    from lightkube.config.kubeconfig import KubeConfig, SingleConfig

    from kproxy.sources.kubeconfig_types import Cluster, User, UserExec

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_EXEC_EXTENSION: Final = "client.authentication.k8s.io/exec"


def load_connection(
    kubeconfig: Path | None = None,
    *,
    master: str = "",
    service_account: Path = SERVICE_ACCOUNT,
    clock: Clock | None = None,
) -> Connection:
    """Find the API server: the kubeconfig's current context, else `master` alone, else the pod's service account.

    A `master` URL replaces the kubeconfig's server. Raises ConfigurationError naming the file and the field.
    """
    if kubeconfig is not None:
        return _from_kubeconfig(kubeconfig, master, clock or SystemClock())
    if master:
        return Connection(_server_url(master, "--master", tls=False), TlsTrust(), StoredCredentials())
    return _in_cluster(service_account)


def _in_cluster(folder: Path) -> Connection:
    for variable in ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        if not os.environ.get(variable):
            raise ConfigurationError(f"no kubeconfig given, and not in a pod either: {variable} is not set")
    from lightkube.config.kubeconfig import KubeConfig
    from lightkube.core.exceptions import ConfigError

    try:
        cluster = KubeConfig.from_service_account(folder).clusters["default"]
    except (ConfigError, OSError) as error:
        raise ConfigurationError(f"{folder}: service account: {error}") from error
    authority = FileContent(Path(str(cluster.certificate_auth)))
    return Connection(cluster.server, TlsTrust(authority), StoredCredentials(bearer=FileContent(folder / "token")))


def _from_kubeconfig(path: Path, master: str, clock: Clock) -> Connection:
    from kproxy.sources.kubeconfig_types import KubeconfigFile

    try:
        config = msgspec.convert(load_yaml(path.read_bytes()), KubeconfigFile).config(str(path))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # YAML's errors span lines.
        raise ConfigurationError(f"{path}: {' '.join(str(error).split())}") from error
    return _CurrentContext(path, config).connection(master, clock)


class _CurrentContext:
    """The cluster and user that a kubeconfig's current context names, with names for error messages."""

    def __init__(self, path: Path, config: KubeConfig) -> None:
        self._path = path
        self._single = self._select(config)

    def connection(self, master: str, clock: Clock) -> Connection:
        cluster: Cluster = self._single.cluster  # type: ignore[assignment]  # made by KubeconfigFile.config
        where = f"clusters[{self._single.context.cluster}].cluster"
        if not master and not cluster.server:
            raise self._error(f"{where}.server", "is missing")
        authority = self._content(
            cluster.certificate_auth, cluster.certificate_auth_data, where, "certificate-authority"
        )
        origin = "--master" if master else f"{self._path}: {where}.server"
        url = _server_url(master or cluster.server, origin, tls=cluster.insecure or authority is not None)
        if cluster.insecure and authority is not None:
            raise self._error(
                f"{where}.insecure-skip-tls-verify", "contradicts certificate-authority: keep one of them"
            )
        return Connection(
            server=url,
            trust=TlsTrust(authority, cluster.insecure),
            credentials=self._credentials(clock),
            server_name=cluster.tls_server_name or None,
            proxy=self._proxy(cluster.proxy_url, where),
            compression=not cluster.disable_compression,
        )

    def _select(self, config: KubeConfig) -> SingleConfig:
        name = config.current_context
        if name is None:
            raise self._error("current-context", "is missing")
        context = config.contexts.get(name)
        if context is None:
            raise self._error("current-context", f"names {name}, which is not among the contexts")
        if context.cluster not in config.clusters:
            raise self._error(
                f"contexts[{name}].context.cluster", f"names {context.cluster}, which is not among the clusters"
            )
        if context.user and context.user not in config.users:
            raise self._error(f"contexts[{name}].context.user", f"names {context.user}, which is not among the users")
        selected = config.get(name)
        if selected is None:
            raise self._error("current-context", f"{name} cannot be used")
        return selected

    def _credentials(self, clock: Clock) -> Credentials:
        if self._single.user is None:
            return StoredCredentials()
        user: User = self._single.user  # type: ignore[assignment]  # made by KubeconfigFile.config
        where = f"users[{self._single.context.user}].user"
        if user.auth_provider is not None:
            raise self._error(f"{where}.auth-provider", "was removed in Kubernetes v1.26: use exec")
        if user.impersonate or user.impersonate_groups:
            raise self._error(f"{where}.as", "is not supported: grant the permissions to the user itself")
        certificate = self._content(user.client_cert, user.client_cert_data, where, "client-certificate")
        key = self._content(user.client_key, user.client_key_data, where, "client-key")
        if (certificate is None) != (key is None):
            raise self._error(where, "client-certificate and client-key are needed together")
        token = self._token(user)
        if token is not None and user.username:
            raise self._error(f"{where}.username", "contradicts token: keep one of them")
        if user.exec is not None:
            if token is not None or user.username or certificate is not None:
                raise self._error(f"{where}.exec", "contradicts the other credentials beside it: keep one of them")
            return ExecCredentials(self._plugin(user.exec, f"{where}.exec"), clock)
        return StoredCredentials(
            bearer=token,
            basic=(user.username, user.password or "") if user.username else None,
            certificate=(certificate, key) if certificate is not None and key is not None else None,
        )

    def _token(self, user: User) -> Content | None:
        inline = user.token.encode() if user.token else None
        if user.token_file:
            return FileContent(self._absolute(user.token_file), fallback=inline)
        return InlineContent(inline, f"{self._path}: users[{self._single.context.user}].user.token") if inline else None

    def _plugin(self, spec: UserExec, where: str) -> ExecPlugin:
        if spec.apiVersion not in API_VERSIONS:
            raise self._error(f"{where}.apiVersion", f"is {spec.apiVersion!r}, supported: {', '.join(API_VERSIONS)}")
        mode = spec.interactive_mode or ("IfAvailable" if spec.apiVersion.endswith("/v1beta1") else "")
        if mode not in {"Never", "IfAvailable"}:
            raise self._error(f"{where}.interactiveMode", f"is {mode!r}; a daemon can use Never or IfAvailable")
        if not spec.command:
            raise self._error(f"{where}.command", "is missing")
        return ExecPlugin(
            api_version=spec.apiVersion,
            command=spec.command,
            args=tuple(spec.args or ()),
            env=tuple((variable.name, variable.value) for variable in spec.env or ()),
            folder=self._path.absolute().parent,
            cluster=self._cluster_info() if spec.provide_cluster_info else None,
            install_hint=spec.installHint or "",
        )

    def _cluster_info(self) -> dict[str, object]:
        cluster: Cluster = self._single.cluster  # type: ignore[assignment]  # made by KubeconfigFile.config
        authority = self._content(cluster.certificate_auth, cluster.certificate_auth_data, "", "certificate-authority")
        info: dict[str, object] = {
            "server": cluster.server,
            "tls-server-name": cluster.tls_server_name,
            "insecure-skip-tls-verify": cluster.insecure,
            "certificate-authority-data": authority.read() if authority else None,
            "proxy-url": cluster.proxy_url,
            "config": next((e.extension for e in cluster.extensions or () if e.name == _EXEC_EXTENSION), None),
        }
        return {name: value for name, value in info.items() if value}

    def _content(self, file: str | None, data: str | None, where: str, field: str) -> Content | None:
        """Read `field`-data before `field`, as kubectl does."""
        if data:
            try:
                value = b64decode("".join(data.split()), validate=True)
            except ValueError as error:
                raise self._error(f"{where}.{field}-data", f"is not base64: {error}") from error
            return InlineContent(value, f"{self._path}: {where}.{field}-data")
        return FileContent(self._absolute(file)) if file else None

    def _absolute(self, file: str) -> Path:
        return Path(self._single.abs_file(file))

    def _proxy(self, url: str | None, where: str) -> str | None:
        if url and urlsplit(url).scheme not in {"http", "https"}:
            raise self._error(f"{where}.proxy-url", "must be an http or https URL")
        return url or None

    def _error(self, field: str, problem: str) -> ConfigurationError:
        return ConfigurationError(f"{self._path}: {field} {problem}")


def _server_url(server: str, origin: str, *, tls: bool) -> str:
    """Check a server's URL; without a scheme it is https where the settings speak of `tls`, as in kubectl."""
    url = (server if "://" in server else f"{'https' if tls else 'http'}://{server}").rstrip("/")
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError as error:
        raise ConfigurationError(f"{origin} is not a URL: {server!r}: {error}") from error
    if not valid or parts.username is not None or parts.query or parts.fragment:
        raise ConfigurationError(f"{origin} must be an http or https URL without credentials or query")
    # As it was understood: with a scheme in lower case, and without the blanks that the parser leaves out.
    return parts.geturl()
