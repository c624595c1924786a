"""Connection tracking over ctnetlink (linux/netfilter/nfnetlink_conntrack.h)."""
