"""The parts of a `KubeProxyConfiguration` that do not belong to one proxy mode.

Names and defaults are those of `kubeproxy.config.k8s.io/v1alpha1`. The descriptions are read by the configuration
reference and by tools that explain a configuration, so they say what the field does in this proxy.
"""

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from kproxy.config.duration import Duration

MAX_INT32 = 2**31 - 1
Count: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_INT32)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A mapping of the file; a value."""


class ClientConnection(Section, frozen=True):
    """How to reach the API server."""

    kubeconfig: Annotated[
        str, Meta(description="Path of the kubeconfig file. Empty: the service account of the pod (in-cluster).")
    ] = ""
    accept_content_types: Annotated[
        str, Meta(description="Content types to accept from the API server. This proxy always asks for JSON.")
    ] = ""
    content_type: Annotated[
        str,
        Meta(
            description="Content type of requests. Kept for compatibility: this proxy speaks JSON, "
            "decoded straight into the fields it uses."
        ),
    ] = "application/vnd.kubernetes.protobuf"
    qps: Annotated[
        float, Meta(description="Requests a second to the API server, on average. 0 means 5; negative, no limit.")
    ] = 5.0
    burst: Annotated[Count, Meta(description="Requests that may exceed qps for a moment. 0 means 10.")] = 10


class Conntrack(Section, frozen=True):
    """Kernel connection tracking. Limits are only ever raised."""

    max_per_core: Annotated[
        Count, Meta(description="Tracked connections per CPU core; 0 leaves the limit as it is and ignores min.")
    ] = 32768
    min: Annotated[Count, Meta(description="Tracked connections at least, whatever maxPerCore comes to.")] = 131072
    tcp_established_timeout: Annotated[
        Duration,
        Meta(description="How long an idle established TCP connection is kept; 0 leaves the system's value."),
    ] = Duration.of(hours=24)
    tcp_close_wait_timeout: Annotated[
        Duration,
        Meta(description="How long a TCP connection in CLOSE_WAIT is kept; 0 leaves the system's value."),
    ] = Duration.of(hours=1)
    tcp_be_liberal: Annotated[
        bool,
        Meta(description="Do not mark out-of-window TCP packets invalid (nf_conntrack_tcp_be_liberal=1)."),
    ] = False
    udp_timeout: Annotated[
        Duration, Meta(description="How long an unanswered UDP flow is kept; 0 leaves the system's value.")
    ] = Duration()
    udp_stream_timeout: Annotated[
        Duration, Meta(description="How long an answered UDP flow is kept; 0 leaves the system's value.")
    ] = Duration()


class DetectLocal(Section, frozen=True):
    """What detectLocalMode needs to know."""

    bridge_interface: Annotated[
        str, Meta(description="With detectLocalMode BridgeInterface: traffic from this bridge is from local pods.")
    ] = ""
    interface_name_prefix: Annotated[
        str,
        Meta(
            description="With detectLocalMode InterfaceNamePrefix: traffic from interfaces whose name begins "
            "with this is from local pods."
        ),
    ] = ""


class Winkernel(Section, frozen=True):
    """Settings of the Windows proxy: accepted, so that one file serves all nodes; without effect on Linux."""

    network_name: Annotated[str, Meta(description="Windows only: the HNS network for endpoints and policies.")] = ""
    source_vip: Annotated[str, Meta(description="Windows only: the address that NAT sends from.")] = ""
    enable_dsr: Annotated[bool, Meta(description="Windows only: direct server return.")] = msgspec.field(
        default=False, name="enableDSR"
    )
    root_hns_endpoint_name: Annotated[
        str, Meta(description="Windows only: the HNS endpoint of the root network namespace.")
    ] = ""
    forward_health_check_vip: Annotated[
        bool, Meta(description="Windows only: forward the Service address for health check ports.")
    ] = False
