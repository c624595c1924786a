"""What a node's proxy does right now, at a glance and as a live view."""
