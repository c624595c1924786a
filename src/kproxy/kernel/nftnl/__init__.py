"""nf_tables over netlink (linux/netfilter/nf_tables.h): encoders, transactions and reading back.

Knows tables, chains, sets, elements and expressions; knows nothing of Services.
"""
