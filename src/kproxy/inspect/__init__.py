"""Operators' tools: what a node's proxy should do, what its kernel does, and where they differ."""
