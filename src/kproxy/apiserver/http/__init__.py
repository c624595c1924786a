"""The HTTP face of the store: aiohttp handlers that speak the Kubernetes API."""
