"""The commands: `kube-proxy`, a drop-in for the original, and `kproxy` with everything else."""


def main() -> None:
    """Entry point of `kproxy`."""
    from kproxy.cli.main import app

    app()
