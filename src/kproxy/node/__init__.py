"""The node agent around the data plane: identity, addresses, health, metrics."""
