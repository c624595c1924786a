"""What a stock kube-proxy leaves in the kernel, loaded into the test's network namespace from recordings."""

import re
import subprocess
from pathlib import Path

RECORDED_IPTABLES = Path(__file__).parents[2] / "iptables" / "dumps"
TABLE = """
table ip kube-proxy {
  map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
  map no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict; }
  set cluster-ips { type ipv4_addr; elements = { 10.96.1.1 }; }
  chain endpoint-X { meta l4proto tcp dnat to 10.244.1.10:8080; }
  chain service-X { goto endpoint-X; }
  chain services { ip daddr . meta l4proto . th dport vmap @service-ips; }
  chain nat-prerouting { type nat hook prerouting priority -100; jump services; }
}
add element ip kube-proxy service-ips { 10.96.1.1 . tcp . 80 : goto service-X }
"""
"""The names of kube-proxy v1.36's table, with one Service."""


def load_nftables() -> None:
    subprocess.run(["nft", "-f", "-"], input=TABLE, text=True, check=True)


def load_iptables(scenario: str, variant: str) -> None:
    """Load a recorded scenario of iptables mode; `variant` is `legacy` or `nft`."""
    parts = (RECORDED_IPTABLES / f"{scenario}.txt").read_text().split("### ")[1:]
    for part in parts:
        command, _, rules = part.partition("\n")
        if command.startswith("iptables"):
            rules = re.sub(r" -m nfacct --nfacct-name\s+\S+", "", rules)  # an object of its own, which is not recorded
            restore = [f"iptables-{variant}-restore", "--noflush"]
            subprocess.run(restore, input=rules, text=True, check=True, capture_output=True)


def load_rules(rules: str, variant: str = "legacy") -> None:
    """Load what iptables-save would print."""
    subprocess.run([f"iptables-{variant}-restore", "--noflush"], input=rules, text=True, check=True)
