"""Metrics of our own, beside those that a kube-proxy has: what the way from an event to the kernel costs."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kproxy.services.addresses import Family

PREFIX = "kproxy"

_DURATIONS = [0.00025 * 2**k for k in range(18)]
_OBJECTS = [4.0**k for k in range(11)]
_BYTES = [64 * 4.0**k for k in range(11)]


class FollowedResource(NamedTuple):
    """What a source tells of one resource that it follows at the API."""

    plural: str
    """Its name in the API, such as `endpointslices`."""
    relists: int
    """How often the server could not go on from the version that we had."""
    failures: int
    """Requests that failed."""
    events: int
    """Watch events, bookmarks included."""
    last_event: float | None
    """When the last of them or of the lists came, in seconds since the epoch."""


class ModeSample(Protocol):
    """One value of a metric that a single mode has."""

    @property
    def name(self) -> str: ...

    @property
    def help(self) -> str: ...

    @property
    def labels(self) -> Mapping[str, str]: ...

    @property
    def value(self) -> float: ...

    @property
    def gauge(self) -> bool:
        """Else, a counter."""


class PipelineMetrics:
    """Counters of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register them."""
        family = ["ip_family"]

        def histogram(name: str, words: str, labels: list[str], buckets: list[float]) -> Histogram:
            return Histogram(name, words, labels, namespace=PREFIX, registry=registry, buckets=buckets)

        self.event_to_commit = histogram(
            "event_to_commit_duration_seconds",
            "From the first event that a sync answers until the kernel has it",
            [],
            _DURATIONS,
        )
        self.batch_objects = histogram(
            "kernel_batch_objects", "Kernel objects that a sync wrote or deleted", family, _OBJECTS
        )
        self.batch_bytes = histogram("kernel_batch_bytes", "Bytes that a sync sent to the kernel", family, _BYTES)
        self.repairs = Counter(
            "repairs", "Comparisons that found the kernel changed", family, namespace=PREFIX, registry=registry
        )
        self.left_out = Gauge(
            "services_left_out", "Services that the kernel refused", family, namespace=PREFIX, registry=registry
        )
        self._registry = registry

    def show_objects(self, count: Callable[[], Mapping[Family, Mapping[str, int]]]) -> None:
        """Show how many objects of each kind the kernel holds, asked at each scrape."""
        self._registry.register(_Objects(count))

    def show_mode(self, read: Callable[[], Iterable[ModeSample]]) -> None:
        """Show what only the mode counts, read at each scrape."""
        self._registry.register(_Mode(read))

    def show_resources(self, read: Callable[[], Iterable[FollowedResource]], now: Callable[[], float]) -> None:
        """Show how well each resource is followed.

        Args:
            read: called at each scrape
            now: the time, in seconds since the epoch
        """
        self._registry.register(_Resources(read, now))


class _Objects(Collector):
    def __init__(self, count: Callable[[], Mapping[Family, Mapping[str, int]]]) -> None:
        self._count = count

    def collect(self) -> Iterator[Metric]:
        found = GaugeMetricFamily(
            f"{PREFIX}_kernel_objects",
            "Objects in the kernel: elements of each map, rules of each table, virtual and real servers",
            labels=["ip_family", "kind"],
        )
        for family, kinds in self._count().items():
            for kind, count in kinds.items():
                found.add_metric([family.value, kind], count)
        yield found

    def describe(self) -> Iterator[Metric]:
        """Nothing beforehand: the kinds depend on the mode."""
        return iter(())


class _Mode(Collector):
    def __init__(self, read: Callable[[], Iterable[ModeSample]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        found: dict[str, Metric] = {}
        for sample in self._read():
            metric = found.get(sample.name)
            if metric is None:
                metric = found[sample.name] = Metric(sample.name, sample.help, "gauge" if sample.gauge else "counter")
            metric.add_sample(sample.name, dict(sample.labels), sample.value)
        yield from found.values()

    def describe(self) -> Iterator[Metric]:
        """Nothing beforehand: it depends on the mode."""
        return iter(())


class _Resources(Collector):
    def __init__(self, read: Callable[[], Iterable[FollowedResource]], now: Callable[[], float]) -> None:
        self._read, self._now = read, now

    def collect(self) -> Iterator[Metric]:
        label = ["resource"]
        relists = CounterMetricFamily(f"{PREFIX}_relists", "Lists that a watch could not avoid", labels=label)
        failures = CounterMetricFamily(f"{PREFIX}_watch_failures", "Lists and watches that failed", labels=label)
        events = CounterMetricFamily(f"{PREFIX}_watch_events", "Watch events, bookmarks included", labels=label)
        age = GaugeMetricFamily(
            f"{PREFIX}_watch_age_seconds", "How long ago the API server was last heard of", labels=label
        )
        for resource in self._read():
            name = [resource.plural]
            relists.add_metric(name, resource.relists)
            failures.add_metric(name, resource.failures)
            events.add_metric(name, resource.events)
            if resource.last_event is not None:
                age.add_metric(name, max(0.0, self._now() - resource.last_event))
        yield from (relists, failures, events, age)

    def describe(self) -> Iterator[Metric]:
        """Nothing beforehand, as it is read from where it is kept."""
        return iter(())
