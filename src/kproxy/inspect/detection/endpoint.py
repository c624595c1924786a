"""What a running proxy says of itself over HTTP: kube-proxy and kproxy serve the same paths."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from kproxy.inspect.detection.footprints import Owner

DEFAULT_METRICS = "127.0.0.1:10249"
DEFAULT_HEALTHZ = "127.0.0.1:10256"
_TIMEOUT = 5.0
_MOST_BYTES = 64 << 20


class Sample(NamedTuple):
    """One line of /metrics."""

    name: str
    labels: Mapping[str, str]
    value: float


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    body: bytes


class RunningProxy(NamedTuple):
    """A proxy that answers on this node."""

    address: str
    """Of its metrics server."""
    mode: str
    owner: Owner
    samples: tuple[Sample, ...]
    configuration: Mapping[str, Any]
    """The fields of the effective `KubeProxyConfiguration`, as /configz has them; empty when it does not say."""
    healthz: Answer | None
    """None when nothing answers there."""

    def values(self, name: str) -> Iterator[Sample]:
        """The samples of a metric."""
        return (sample for sample in self.samples if sample.name == name)


async def ask(metrics: str = DEFAULT_METRICS, healthz: str = DEFAULT_HEALTHZ) -> RunningProxy | None:
    """Ask the proxy on these addresses; None when none answers as a proxy does.

    Args:
        metrics: `address:port`; a wildcard address stands for loopback
        healthz: likewise
    """
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT)) as session:
        mode = await fetch(session, metrics, "/proxyMode")
        if mode is None or mode.status != 200 or not mode.body.strip().isalpha():
            return None
        shown, configz, health = await asyncio.gather(
            fetch(session, metrics, "/metrics"),
            fetch(session, metrics, "/configz"),
            fetch(session, healthz, "/healthz"),
        )
    samples = tuple(read_metrics(shown.body)) if shown else ()
    return RunningProxy(
        address=metrics,
        mode=mode.body.decode().strip(),
        owner=_owner(samples),
        samples=samples,
        configuration=_configuration(configz),
        healthz=health,
    )


async def fetch(session: aiohttp.ClientSession, address: str, path: str) -> Answer | None:
    """GET a path; None when nobody answers in time, or at too great length."""
    try:
        async with session.get(f"http://{_reachable(address)}{path}", allow_redirects=False) as response:
            body = await response.content.read(_MOST_BYTES)
            return Answer(response.status, body)
    except (aiohttp.ClientError, OSError, ValueError, TimeoutError):
        return None


def _reachable(address: str) -> str:
    """Where a server that listens on an address is reached from its own host."""
    host, _, port = address.rpartition(":")
    loopback = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "": "127.0.0.1"}  # noqa: S104 - replaced, not bound
    return f"{loopback.get(host, host)}:{port}"


def read_metrics(text: bytes) -> Iterator[Sample]:
    """The samples of an exposition in Prometheus' text format, up to the first line that is none."""
    try:
        for family in text_string_to_metric_families(text.decode(errors="replace")):
            for sample in family.samples:
                yield Sample(sample.name, sample.labels, sample.value)
    except ValueError:
        return


def _owner(samples: tuple[Sample, ...]) -> Owner:
    """Go's runtime shows itself in the metrics of every Kubernetes component."""
    names = {sample.name for sample in samples}
    if {"go_goroutines", "kubernetes_build_info"} & names:
        return Owner.KUBE_PROXY
    return Owner.KPROXY if names else Owner.EITHER


def _configuration(answer: Answer | None) -> Mapping[str, Any]:
    if answer is None or answer.status != 200:
        return {}
    try:
        document = json.loads(answer.body)
    except ValueError:
        return {}
    found = document.get("kubeproxy.config.k8s.io") if isinstance(document, dict) else None
    return found if isinstance(found, dict) else {}
