"""Where Services, EndpointSlices and Nodes come from: a Kubernetes API, or a folder of manifests."""
