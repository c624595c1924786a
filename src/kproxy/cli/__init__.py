"""The commands: `kube-proxy`, a drop-in for the original, and `kproxy` with everything else."""
