"""Rules as iptables-save prints them, of iptables-legacy and iptables-nft, and the sets they look into."""
