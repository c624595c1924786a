"""Beyond one machine: what measured costs mean for clusters, and many hollow proxies against one API server."""
