"""The iptables mode: kube-proxy's chains, under kube-proxy's names, through iptables-restore."""
