"""The benchmark suite: what the proxy costs, measured beside what the kernel alone would cost."""
