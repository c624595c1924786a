"""The rules that a kernel has, as data, and what they do to the first packet of a connection."""
