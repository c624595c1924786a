"""The IPVS mode: a virtual server for each address and port of a Service."""
