"""Modes and other proxies on this machine, with real traffic between network namespaces."""
