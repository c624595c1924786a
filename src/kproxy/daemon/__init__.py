"""The daemon: the only place that knows sources, model, backend and node agent together."""
