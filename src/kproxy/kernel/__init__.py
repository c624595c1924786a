"""The kernel's interfaces, as thin as they can be: sockets and bytes, no Service semantics."""
