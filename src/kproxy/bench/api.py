"""The embedded API server over a store that holds a cluster, inside a namespace."""

from contextlib import AbstractAsyncContextManager

from kproxy.apiserver import Store, create_app
from kproxy.bench import cluster
from kproxy.bench.cluster import Size
from kproxy.lab.api_objects import serve_app
from kproxy.lab.namespaces import Namespace


def serve(namespace: Namespace, store: Store) -> AbstractAsyncContextManager[str]:
    """Serve a store on a loopback port of a namespace for the length of a block, and give the URL; raises OSError."""
    return serve_app(namespace, create_app(store))


def fill(store: Store, size: Size, node: str = "node-0") -> None:
    """Put a node and a cluster's Services and slices into a store."""
    store.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
    for number in range(size.services):
        store.apply(cluster.service(number, mixed=size.mixed))
        for slice_ in cluster.endpoint_slices(number, size.endpoints):
            store.apply(slice_)
