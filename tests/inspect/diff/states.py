"""Desired states for comparisons."""

from collections.abc import Collection, Iterable

from kproxy.config import load_bytes
from kproxy.inspect.desired import DesiredState, NodeSettings, build_desired
from kproxy.kernel.interface_addresses import InterfaceAddress, list_addresses
from kproxy.lab.topology import NODE
from kproxy.services.addresses import Address
from kproxy.services.objects import KubeObject
from tests.inspect.lab_node import NODE_ADDRESSES
from tests.services.builders import node

CONFIGURATION = """
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: {mode}
hostnameOverride: node
clusterCIDR: 10.244.0.0/16,fd00:10:244::/48
conntrack: {{maxPerCore: 0, min: 0}}
"""


def desired(objects: Iterable[KubeObject], mode: str, addresses: Collection[Address] = NODE_ADDRESSES) -> DesiredState:
    """What a node with these addresses should do for some objects."""
    configuration = load_bytes(CONFIGURATION.format(mode=mode).encode()).configuration
    settings = NodeSettings(configuration=configuration, origin="test", running=False, node="node")
    interfaces = [InterfaceAddress(address, False) for address in addresses]
    itself = node("node", zone="a", addresses=[str(each.ip) for each in NODE.address])
    return build_desired([itself, *objects], settings, interfaces, "test")


def desired_here(objects: Iterable[KubeObject], mode: str) -> DesiredState:
    """The same for the node that this network namespace is."""
    return desired(objects, mode, [found.address for found in list_addresses()])
