"""What `enableProfiling` adds to the metrics address: profiles that `go tool pprof` reads, and the log's verbosity."""

from kproxy.node.profiling.routes import install_profiling

__all__ = ["install_profiling"]
