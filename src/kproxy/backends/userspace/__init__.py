"""The userspace mode: the proxy accepts connections itself and forwards them."""
