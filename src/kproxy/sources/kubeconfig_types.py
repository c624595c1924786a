"""What a kubeconfig file holds: lightkube's types, with the fields they leave out.

Importing lightkube takes some 70 ms and its HTTP client with it, so this module is imported only when a
kubeconfig is read.
"""

import msgspec
from lightkube.config import models
from lightkube.config.kubeconfig import KubeConfig


class Extension(msgspec.Struct, frozen=True):
    """A named extension; `client.authentication.k8s.io/exec` is passed on to exec plugins."""

    name: str
    extension: object = None


class Cluster(models.Cluster):
    """A server and how to trust it."""

    server: str = ""
    tls_server_name: str | None = msgspec.field(name="tls-server-name", default=None)
    proxy_url: str | None = msgspec.field(name="proxy-url", default=None)
    disable_compression: bool = msgspec.field(name="disable-compression", default=False)
    extensions: list[Extension] | None = None


class UserExec(models.UserExec):
    """An exec plugin."""

    interactive_mode: str | None = msgspec.field(name="interactiveMode", default=None)
    provide_cluster_info: bool = msgspec.field(name="provideClusterInfo", default=False)


class User(models.User):
    """An identity; those of impersonation are read in order to refuse them."""

    exec: UserExec | None = None
    impersonate: str | None = msgspec.field(name="as", default=None)
    impersonate_groups: list[str] | None = msgspec.field(name="as-groups", default=None)


class NamedCluster(msgspec.Struct):
    name: str
    cluster: Cluster


class NamedContext(msgspec.Struct):
    name: str
    context: models.Context


class NamedUser(msgspec.Struct):
    name: str
    user: User | None = None


class KubeconfigFile(msgspec.Struct):
    """The document itself."""

    clusters: list[NamedCluster] | None = None
    contexts: list[NamedContext] | None = None
    users: list[NamedUser] | None = None
    current_context: str | None = msgspec.field(name="current-context", default=None)

    def config(self, path: str) -> KubeConfig:
        """Gives the same as lightkube's, which selects a context and resolves paths relative to the file."""
        return KubeConfig(
            clusters={entry.name: entry.cluster for entry in self.clusters or []},
            contexts={entry.name: entry.context for entry in self.contexts or []},
            users={entry.name: entry.user or User() for entry in self.users or []},
            current_context=self.current_context or None,
            fname=path,
        )
