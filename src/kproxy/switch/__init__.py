"""Changing the proxy mode of a node or a cluster: planned, verified by traffic, and taken back if it fails."""
