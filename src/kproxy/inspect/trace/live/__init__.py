"""A probe that is really sent, and what the kernel tells of its way."""
