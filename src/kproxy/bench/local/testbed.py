"""The lab's node between a client and endpoints by the million.

The lab's pods are the clients' side. Endpoints live in its host outside the cluster, which takes every address of the
pods' network as its own (a `local` route: AnyIP), so each endpoint of each Service answers.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, Self

import msgspec

from kproxy.apiserver import Store
from kproxy.bench import cluster
from kproxy.bench.api import serve
from kproxy.bench.local.prober import Answer, Await, Connect, Durations, Moment, Reach, Target, Task
from kproxy.lab.lab import Lab
from kproxy.lab.namespaces import Namespace
from kproxy.lab.privileges import LabUnavailableError
from kproxy.lab.topology import EXTERNAL, NODE

CLIENT: Final = "pod-x"
ENDPOINTS: Final = EXTERNAL.name
ENDPOINT_PORT: Final = 8080
THROUGHPUT_PORT: Final = 5201
"""Where iperf3 listens."""
SERVICE_PORT: Final = 80
_MODULE: Final = "kproxy.bench.local"
_SLACK: Final = 5.0
"""Seconds that an answer may come later than the patience of its task."""
_CONNTRACK: Final = {
    "netfilter/nf_conntrack_tcp_timeout_time_wait": 5,
    "netfilter/nf_conntrack_tcp_timeout_close": 2,
}


class Prober:
    """The client's program, from this side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._decoder = msgspec.json.Decoder(Answer)

    async def reach(self, targets: Sequence[Target], patience: float) -> float | None:
        """When all targets answered, on the lab's clock; None when one did not in time."""
        return await self._moment(Reach(list(targets), patience), patience)

    async def await_endpoint(self, target: Target, endpoint: Target, patience: float) -> float | None:
        """When that endpoint first answered at the target."""
        return await self._moment(Await(target, endpoint, patience), patience)

    async def connect(self, targets: Sequence[Target], count: int, patience: float) -> Durations:
        """Times of `count` connections to each target, in turn."""
        answer = await self._perform(Connect(list(targets), count, patience), patience * 2 + 10)
        if not isinstance(answer, Durations):
            raise TypeError(answer)
        return answer

    async def _moment(self, task: Task, patience: float) -> float | None:
        answer = await self._perform(task, patience)
        if not isinstance(answer, Moment):
            raise TypeError(answer)
        return answer.at

    async def _perform(self, task: Task, patience: float) -> Answer:
        self._writer.write(msgspec.json.encode(task) + b"\n")
        async with asyncio.timeout(patience + _SLACK):
            answer: Answer = self._decoder.decode(await self._reader.readline())
        return answer


class Testbed:
    """A lab with an API server over a store, endpoints that answer, and a client."""

    __test__ = False  # not a test, whatever its name says

    def __init__(self, lab: Lab, server: str, prober: Prober) -> None:
        self.lab, self.server, self.prober = lab, server, prober

    @property
    def node(self) -> Namespace:
        return self.lab.namespace(NODE.name)

    @classmethod
    @asynccontextmanager
    async def open(cls, store: Store) -> AsyncIterator[Self]:
        """Build it, and take it down at the end of the block.

        Args:
            store: what the API server serves; it may hold a cluster already

        Raises:
            LabUnavailableError: no right to make namespaces, or a program is missing
        """
        async with AsyncExitStack() as stack:
            lab = await stack.enter_async_context(Lab.open())
            endpoints, node = lab.namespace(ENDPOINTS), lab.namespace(NODE.name)
            for network in (cluster.POD_NETWORK, cluster.CHANGED_NETWORK):
                _ip(endpoints, "route", "add", "local", network, "dev", "lo")
            for key, value in _CONNTRACK.items():
                node.set_sysctl(key, value, optional=True)
            program = [sys.executable, "-m", f"{_MODULE}.endpoint", str(ENDPOINT_PORT)]
            await stack.enter_async_context(lab.process(ENDPOINTS, program))
            prober = await stack.enter_async_context(_prober(lab.namespace(CLIENT)))
            server = await stack.enter_async_context(serve(node, store))
            testbed = cls(lab, server, prober)
            if await prober.reach([testbed.direct(0)], 20.0) is None:
                raise LabUnavailableError("endpoints do not answer, even without a Service")
            yield testbed

    @staticmethod
    def direct(member: int) -> Target:
        """An endpoint's own address."""
        return cluster.pod_address(member), ENDPOINT_PORT

    @staticmethod
    def service(number: int) -> Target:
        """A Service's cluster IP and port."""
        return cluster.cluster_ip(number), SERVICE_PORT


@asynccontextmanager
async def _prober(namespace: Namespace) -> AsyncIterator[Prober]:
    ours, theirs = socket.socketpair()
    with theirs:
        os.set_inheritable(theirs.fileno(), True)
        argv = [sys.executable, "-m", f"{_MODULE}.prober", str(theirs.fileno())]
        process = namespace.run(lambda: subprocess.Popen(argv, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL))
    reader, writer = await asyncio.open_unix_connection(sock=ours, limit=1 << 24)
    try:
        yield Prober(reader, writer)
    finally:
        writer.close()
        process.terminate()
        await asyncio.to_thread(process.wait)


def _ip(namespace: Namespace, *arguments: str) -> None:
    try:
        namespace.run(lambda: subprocess.run(["ip", *arguments], check=True, capture_output=True))
    except (OSError, subprocess.CalledProcessError) as error:
        raise LabUnavailableError(f"ip {' '.join(arguments)}: {error}") from error
