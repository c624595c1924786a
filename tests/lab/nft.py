"""Hand-made rules in a namespace of the lab, standing in for a proxy's."""

import subprocess

from kproxy.lab.namespaces import Namespace


def run_nft(namespace: Namespace, commands: str) -> None:
    namespace.run(lambda: subprocess.run(["nft", "-f", "-"], input=commands.encode(), check=True))


def load_table(namespace: Namespace, family: str, *chains: tuple[str, str]) -> None:
    """Make table `lab` of a family hold nothing but these chains, each its hook and its rules."""
    body = "".join(f"chain c{number} {{ {hook}; {rules}; }}\n" for number, (hook, rules) in enumerate(chains))
    run_nft(namespace, f"table {family} lab\ndelete table {family} lab\ntable {family} lab {{\n{body}}}\n")


PREROUTING = "type nat hook prerouting priority -100"
POSTROUTING = "type nat hook postrouting priority 100"
INPUT = "type filter hook input priority 0"
FORWARD = "type filter hook forward priority 0"
