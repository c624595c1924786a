"""`KubeProxyConfiguration` (`kubeproxy.config.k8s.io/v1alpha1`): every field that kube-proxy v1.36 reads and writes.

Two more belong to userspace mode, which left kube-proxy with v1.26, under the names that they had there: `portRange`,
which v1.36 still carries along, and `udpIdleTimeout`.
"""

from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta, field

from kproxy.config.duration import Duration
from kproxy.config.logging_section import Logging
from kproxy.config.mode_sections import IPVS, IPTables, NFTables
from kproxy.config.sections import ClientConnection, Conntrack, DetectLocal, Section, Winkernel

API_VERSION: Final = "kubeproxy.config.k8s.io/v1alpha1"
KIND: Final = "KubeProxyConfiguration"

ProxyMode: TypeAlias = Literal["iptables", "ipvs", "nftables", "userspace"]
LocalMode: TypeAlias = Literal["ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix"]


class KubeProxyConfiguration(Section, frozen=True):
    """The whole configuration.

    Built without arguments it is an empty file; `kproxy.config.defaults.effective` fills in what depends on other
    fields. Everything the loaders return has been through that and through validation.
    """

    api_version: Annotated[
        Literal["kubeproxy.config.k8s.io/v1alpha1"], Meta(description="Always kubeproxy.config.k8s.io/v1alpha1.")
    ] = API_VERSION
    kind: Annotated[Literal["KubeProxyConfiguration"], Meta(description="Always KubeProxyConfiguration.")] = KIND

    mode: Annotated[
        ProxyMode,
        Meta(description="How the node balances: iptables, ipvs, nftables or userspace. Empty means iptables."),
    ] = "iptables"
    iptables: Annotated[IPTables, Meta(description="Settings of the iptables mode.")] = field(default_factory=IPTables)
    ipvs: Annotated[IPVS, Meta(description="Settings of the ipvs mode.")] = field(default_factory=IPVS)
    nftables: Annotated[NFTables, Meta(description="Settings of the nftables mode.")] = field(default_factory=NFTables)
    winkernel: Annotated[Winkernel, Meta(description="Settings of the Windows proxy; without effect on Linux.")] = (
        field(default_factory=Winkernel)
    )

    hostname_override: Annotated[
        str, Meta(description="The name of this node's Node object. Empty: the host's name in lower case.")
    ] = ""
    bind_address: Annotated[
        str,
        Meta(
            description="The node's primary IP. A wildcard (0.0.0.0 or ::) means: ask the Node object, preferring "
            "that family. Nothing is bound to it."
        ),
    ] = "0.0.0.0"  # noqa: S104 - a wildcard for "ask the Node object", never bound
    healthz_bind_address: Annotated[
        str,
        Meta(
            description="Address and port of /healthz and /livez. Empty: 0.0.0.0:10256, or [::]:10256 when "
            "bindAddress is IPv6. The port may be left out."
        ),
    ] = ""
    metrics_bind_address: Annotated[
        str,
        Meta(
            description="Address and port of /metrics, /proxyMode and /configz. Empty: 127.0.0.1:10249, or "
            "[::1]:10249 when bindAddress is IPv6. The port may be left out."
        ),
    ] = ""
    bind_address_hard_fail: Annotated[
        bool, Meta(description="Exit when the health or metrics port cannot be bound, instead of trying again.")
    ] = False
    enable_profiling: Annotated[bool, Meta(description="Serve /debug/pprof/ on the metrics address.")] = False
    show_hidden_metrics_for_version: Annotated[
        str, Meta(description="Show metrics hidden since this version; only the previous minor version is valid.")
    ] = ""

    detect_local_mode: Annotated[
        LocalMode,
        Meta(
            description="How traffic of the node's own pods is told from other traffic: ClusterCIDR, NodeCIDR, "
            "BridgeInterface or InterfaceNamePrefix. Empty means ClusterCIDR."
        ),
    ] = "ClusterCIDR"
    detect_local: Annotated[DetectLocal, Meta(description="What detectLocalMode needs to know.")] = field(
        default_factory=DetectLocal
    )
    cluster_cidr: Annotated[
        str,
        Meta(
            description="The range of pod addresses, or one of each family separated by a comma. With "
            "detectLocalMode ClusterCIDR, traffic from it is from local pods."
        ),
    ] = field(default="", name="clusterCIDR")
    node_port_addresses: Annotated[
        tuple[str, ...] | None,
        Meta(
            description="The node addresses that serve NodePorts: CIDRs, or the single word primary. Null: all "
            "addresses, in nftables mode the primary ones."
        ),
    ] = None

    client_connection: Annotated[ClientConnection, Meta(description="How to reach the API server.")] = field(
        default_factory=ClientConnection
    )
    config_sync_period: Annotated[
        Duration,
        Meta(
            description="How long a watch of the API is followed at most before it is begun anew, from where it "
            "stood; unchanged objects are not fetched again. 0 means 15m."
        ),
    ] = Duration.of(minutes=15)
    conntrack: Annotated[Conntrack, Meta(description="Kernel connection tracking.")] = field(default_factory=Conntrack)
    oom_score_adj: Annotated[
        Annotated[int, Meta(ge=-1000, le=1000)],
        Meta(description="How readily the kernel kills the proxy when memory runs out: -1000 (never) to 1000."),
    ] = -999
    port_range: Annotated[
        str,
        Meta(description="Ports that userspace mode may take: first-last, first+count or one. Empty means any."),
    ] = ""
    udp_idle_timeout: Annotated[
        Duration, Meta(description="How long userspace mode keeps an idle UDP flow. 0 means 10s.")
    ] = Duration()
    logging: Annotated[Logging, Meta(description="How much is logged, and in which form.")] = field(
        default_factory=Logging
    )
    feature_gates: Annotated[
        dict[str, bool], Meta(description="Kubernetes feature gates by name; those without effect here are reported.")
    ] = field(default_factory=dict)
    windows_run_as_service: Annotated[bool, Meta(description="Windows only: run under the service manager.")] = False
