"""A proxy of a hundred lines: enough of one to show that the lab tells a right proxy from a wrong one.

It polls the API, writes the whole rule-set with nft(8) on every change, and knows cluster IPs, node ports, load
balancer addresses and rejection. With `--fault lose-an-endpoint` it forgets one endpoint of every Service,
with `--fault exit` it ends with a complaint.
"""

import argparse
import http.server
import ipaddress
import json
import subprocess
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import yaml

NODE_ADDRESSES = {4: "192.168.77.2", 6: "fd00:77::2"}
POD_NETWORKS = {4: "10.244.0.0/16", 6: "fd00:10:244::/48"}
MASQUERADE_MARK = "0x4000"


class Metrics(http.server.BaseHTTPRequestHandler):
    last_sync = 0.0

    def do_GET(self) -> None:
        body = f"kubeproxy_sync_proxy_rules_last_timestamp_seconds {Metrics.last_sync!r}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


def get(url: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(url, timeout=2) as response:
        items: list[dict[str, Any]] = json.load(response)["items"]
        return items


def rules(services: list[dict[str, Any]], slices: list[dict[str, Any]], fault: str | None) -> str:
    return "".join(table(version, services, slices, fault) for version in (4, 6))


def table(version: int, services: list[dict[str, Any]], slices: list[dict[str, Any]], fault: str | None) -> str:
    ip = "ip" if version == 4 else "ip6"
    translations, rejections, hairpins = [], [], ["{0} . {0}".format(NODE_ADDRESSES[version])]
    for service in services:
        spec, name = service["spec"], service["metadata"]["name"]
        ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress", [])
        inside = [address for address in spec["clusterIPs"] if ipaddress.ip_address(address).version == version]
        outside = [each["ip"] for each in ingress if ipaddress.ip_address(each["ip"]).version == version]
        for port in spec["ports"]:
            target, pods = endpoints(slices, name, port, version)
            if fault == "lose-an-endpoint":
                pods = pods[:-1]
            hairpins += [f"{pod} . {pod}" for pod in pods]
            protocol = port["protocol"].lower()
            matches = [(f"{ip} daddr {address} {protocol} dport {port['port']}", "") for address in inside]
            marked = f"meta mark set {MASQUERADE_MARK} "
            matches += [(f"{ip} daddr {address} {protocol} dport {port['port']}", marked) for address in outside]
            if inside and port.get("nodePort"):
                matches.append((f"{ip} daddr {NODE_ADDRESSES[version]} {protocol} dport {port['nodePort']}", marked))
            if pods:
                choice = ", ".join(f"{index} : {pod}" for index, pod in enumerate(pods))
                draw = f"dnat to numgen random mod {len(pods)} map {{ {choice} }} : {target}"
                translations += [f"{match} {mark}{draw}" for match, mark in matches]
            else:
                rejections += [f"{match} reject" for match, _ in matches]

    def chain(name: str, hook: str, lines: list[str]) -> str:
        return f"chain {name} {{ {hook}; {''.join(f'{line}; ' for line in lines)} }}\n"

    pairs = ", ".join(dict.fromkeys(hairpins))
    masquerade = [
        f"meta mark {MASQUERADE_MARK} masquerade",
        f"ct status dnat {ip} saddr != {POD_NETWORKS[version]} masquerade",
        f"ct status dnat {ip} saddr . {ip} daddr {{ {pairs} }} masquerade",
    ]
    return (
        f"table {ip} standin\ndelete table {ip} standin\ntable {ip} standin {{\n"
        + chain("pre", "type nat hook prerouting priority -100", translations)
        + chain("out", "type nat hook output priority -100", translations)
        + chain("post", "type nat hook postrouting priority 100", masquerade)
        + "".join(
            chain(hook, f"type filter hook {hook} priority 0", rejections) for hook in ("input", "forward", "output")
        )
        + "}\n"
    )


def endpoints(slices: list[dict[str, Any]], service: str, port: dict[str, Any], version: int) -> tuple[int, list[str]]:
    target, pods = 0, []
    for each in slices:
        if (each["metadata"]["labels"]["kubernetes.io/service-name"], each["addressType"]) == (
            service,
            f"IPv{version}",
        ):
            target = next(p["port"] for p in each["ports"] if p.get("name", "") == port.get("name", ""))
            pods += [
                address
                for endpoint in each.get("endpoints") or []
                if endpoint["conditions"].get("ready", True)
                for address in endpoint["addresses"]
            ]
    return target, pods


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path)
    parser.add_argument("-v")
    parser.add_argument("--fault", choices=["lose-an-endpoint", "exit"])
    arguments = parser.parse_args()
    if arguments.fault == "exit":
        raise SystemExit("no such mode")
    config = yaml.safe_load(arguments.config.read_text())
    kubeconfig = yaml.safe_load(Path(config["clientConnection"]["kubeconfig"]).read_text())
    server = kubeconfig["clusters"][0]["cluster"]["server"]
    metrics = http.server.ThreadingHTTPServer(("127.0.0.1", 10249), Metrics)
    threading.Thread(target=metrics.serve_forever, daemon=True).start()
    known: list[list[dict[str, Any]]] = []
    while True:
        objects = [get(f"{server}/api/v1/services"), get(f"{server}/apis/discovery.k8s.io/v1/endpointslices")]
        if objects != known or not Metrics.last_sync:
            wanted = rules(objects[0], objects[1], arguments.fault)
            subprocess.run(["nft", "-f", "-"], input=wanted.encode(), check=True)
            known = objects
            Metrics.last_sync = time.time()
        time.sleep(0.02)


if __name__ == "__main__":
    main()
