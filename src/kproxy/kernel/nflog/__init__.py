"""Packets that rules log, over nfnetlink_log (linux/netfilter/nfnetlink_log.h)."""
