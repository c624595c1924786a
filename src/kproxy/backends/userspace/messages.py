"""What the daemon and its worker processes tell each other: MessagePack over a Unix stream socket.

A `Listen` travels with the descriptor of its socket (SCM_RIGHTS, unix(7)).
"""

from typing import TypeAlias

import msgspec

from kproxy.backends.userspace.options import Limits

EndpointAddress: TypeAlias = tuple[str, int]
"""Address and port of an endpoint, as connect(2) takes them in Python."""


class ForwardedPort(msgspec.Struct, frozen=True, tag="port", array_like=True, gc=False):
    """One port of a Service in one family: where its connections go."""

    id: int
    label: str
    """For log lines."""
    protocol: str
    """`TCP` or `UDP`."""
    family: int
    """4 or 6."""
    cluster: tuple[EndpointAddress, ...]
    """Endpoints of the Cluster policy; one stands here as often as its weight says."""
    local: tuple[EndpointAddress, ...]
    """Those of the Local policy."""
    affinity_seconds: int
    by_client: bool
    """Whether a hash of the client's address picks the endpoint, not its turn."""
    frontends: tuple[bytes, ...]
    """Where redirected connections were sent to: packed address and port, or, for a node port, the port alone."""


class WorkerSettings(msgspec.Struct, frozen=True):
    """What a worker is started with."""

    limits: Limits
    shared: bool
    """Whether there are other workers, so that clients' affinity must be told."""


class PutPorts(msgspec.Struct, frozen=True, tag="put", array_like=True):
    ports: list[ForwardedPort]


class RemovePorts(msgspec.Struct, frozen=True, tag="remove", array_like=True):
    """Connections that these ports have go on; their UDP flows end."""

    ids: list[int]


class Listen(msgspec.Struct, frozen=True, tag="listen", array_like=True):
    """Serve a socket."""

    id: int
    protocol: str
    """`TCP` or `UDP`."""
    family: int
    local: bool
    """Whether its clients get endpoints of the Local policy."""
    port: int
    """The `ForwardedPort` that it serves; 0: the one that each connection's original destination tells."""


class Unlisten(msgspec.Struct, frozen=True, tag="unlisten", array_like=True):
    id: int


class Flush(msgspec.Struct, frozen=True, tag="flush", array_like=True):
    """Ask for `Flushed` when all that came before is in force."""

    sequence: int


class Stuck(msgspec.Struct, frozen=True, tag="stuck", array_like=True):
    """A client got an endpoint that it is to stay with. From one worker, and passed on to the others."""

    port: int
    local: bool
    client: str
    endpoint: EndpointAddress


class Flushed(msgspec.Struct, frozen=True, tag="flushed", array_like=True):
    sequence: int
    counters: dict[str, int]


class Counted(msgspec.Struct, frozen=True, tag="counted", array_like=True):
    """A worker's counters, from time to time."""

    counters: dict[str, int]


class Notice(msgspec.Struct, frozen=True, tag="notice", array_like=True):
    """Something that the log should say."""

    text: str


ToWorker: TypeAlias = PutPorts | RemovePorts | Listen | Unlisten | Flush | Stuck
FromWorker: TypeAlias = Flushed | Counted | Notice | Stuck
Message: TypeAlias = ToWorker | FromWorker
