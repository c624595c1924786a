"""nftables mode: a constant number of rules; every Service, port and endpoint is an element of a map."""
