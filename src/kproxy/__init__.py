"""kproxy: a Kubernetes node service proxy whose cost follows the change, not the cluster."""

__version__ = "0.1.0"
