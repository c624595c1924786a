"""IP sets over netlink (linux/netfilter/ipset/ip_set.h)."""
