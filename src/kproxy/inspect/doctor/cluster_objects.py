"""What the API has beyond what a proxy reads: selectors, pods, networks, DaemonSets."""

import msgspec

from kproxy.services.objects import Base, Node, ObjectMeta, Protocol


class TargetedPort(Base, frozen=True):
    """A Service's port, with where it leads."""

    port: int
    name: str = ""
    protocol: Protocol = "TCP"
    target_port: int | str | None = None
    """None: the port itself."""
    node_port: int = 0


class SelectingSpec(Base, frozen=True):
    type: str = "ClusterIP"
    selector: dict[str, str] | None = None
    ports: list[TargetedPort] | None = None
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    publish_not_ready_addresses: bool = False


class SelectingService(Base, frozen=True):
    """`v1` Service, for what a proxy does not read of it."""

    metadata: ObjectMeta
    spec: SelectingSpec = SelectingSpec()


class ContainerPort(Base, frozen=True):
    container_port: int
    name: str = ""
    protocol: Protocol = "TCP"


class Container(Base, frozen=True):
    name: str = ""
    image: str = ""
    ports: list[ContainerPort] | None = None


class PodSpec(Base, frozen=True):
    node_name: str = ""
    host_network: bool = False
    containers: list[Container] | None = None


class Condition(Base, frozen=True):
    type: str
    status: str = ""
    message: str = ""


class PodStatus(Base, frozen=True):
    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    conditions: list[Condition] | None = None


class Pod(Base, frozen=True):
    """`v1` Pod."""

    metadata: ObjectMeta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def ready(self) -> bool:
        return any(c.type == "Ready" and c.status == "True" for c in self.status.conditions or ())

    @property
    def running(self) -> bool:
        """It has not ended; the endpoints controller leaves ended pods out."""
        return self.status.phase not in ("Succeeded", "Failed")


def describe_pod(pod: Pod) -> str:
    """Its phase, and what is not as it should be."""
    words = "; ".join(
        f"{c.type} is {c.status} {c.message}".strip() for c in pod.status.conditions or () if c.status != "True"
    )
    return f"Pod {pod.metadata.name}: {pod.status.phase or 'no phase'}" + (f"; {words}" if words else "")


class ServiceCidrSpec(Base, frozen=True):
    cidrs: list[str] | None = None


class ServiceCidr(Base, frozen=True):
    """`networking.k8s.io/v1` ServiceCIDR."""

    metadata: ObjectMeta
    spec: ServiceCidrSpec = ServiceCidrSpec()


class LabelSelector(Base, frozen=True):
    match_labels: dict[str, str] | None = None


class TemplateSpec(Base, frozen=True):
    node_selector: dict[str, str] | None = None


class PodTemplate(Base, frozen=True):
    spec: TemplateSpec = TemplateSpec()


class DaemonSetSpec(Base, frozen=True):
    selector: LabelSelector = LabelSelector()
    template: PodTemplate = PodTemplate()


class DaemonSetStatus(Base, frozen=True):
    desired_number_scheduled: int = 0
    number_ready: int = 0


class DaemonSet(Base, frozen=True):
    """`apps/v1` DaemonSet."""

    metadata: ObjectMeta
    spec: DaemonSetSpec = DaemonSetSpec()
    status: DaemonSetStatus = DaemonSetStatus()

    def owns(self, pod: Pod) -> bool:
        """Whether a pod is one of its."""
        wanted = self.spec.selector.match_labels or {}
        same = pod.metadata.namespace == self.metadata.namespace
        return bool(wanted) and same and wanted.items() <= (pod.metadata.labels or {}).items()


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """Objects of the cluster; None for a kind that could not be read."""

    services: list[SelectingService]
    pods: list[Pod] | None
    nodes: list[Node] | None
    service_cidrs: list[ServiceCidr] | None
    daemon_sets: list[DaemonSet] | None
    problems: tuple[str, ...]

    def selected(self, service: SelectingService) -> list[Pod]:
        """The pods that a Service's selector matches."""
        selector = service.spec.selector or {}
        return [
            pod
            for pod in self.pods or ()
            if pod.metadata.namespace == service.metadata.namespace
            and selector.items() <= (pod.metadata.labels or {}).items()
        ]
