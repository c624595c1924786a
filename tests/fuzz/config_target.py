"""A configuration file of any content: a configuration that survives being written and read, or named mistakes."""

from pathlib import Path

from kproxy.config import ConfigError, load_bytes
from kproxy.config.dump import to_json, to_yaml
from kproxy.config.schema import leaves
from kproxy.config.types import API_VERSION, KIND

SAMPLES = Path(__file__).parent.parent / "config"
HEAD = f"apiVersion: {API_VERSION}\nkind: {KIND}\n".encode()

EVERY_FIELD = b"""
mode: nftables
bindAddress: "::"
detectLocalMode: BridgeInterface
detectLocal: {bridgeInterface: cni0, interfaceNamePrefix: veth}
nodePortAddresses: &local [10.0.0.0/8, "fd00::/8"]
ipvs: {excludeCIDRs: *local, scheduler: mh, tcpTimeout: 1.5s}
clientConnection: {qps: 1e3, burst: 0x10, kubeconfig: ~}
logging: {flushFrequency: 5000000000, vmodule: [{filePattern: a*, verbosity: 3}], options: {text: {splitStream: no}}}
featureGates: {AllAlpha: yes, WatchListClient: off}
iptables: !!map {masqueradeBit: 0o17, minSyncPeriod: 500ms}
"""

WORDS = (*(path.rpartition(".")[2] for path, _ in leaves()), "!!int", "!!float", "&a", "*a", "<<", "0x", "1:30", "~")


def seeds() -> list[bytes]:
    """Files to start from, without the two lines that say what they are."""
    files = [SAMPLES / "default-config.yaml", *sorted((SAMPLES / "samples").glob("*.yaml"))]
    lines = (path.read_bytes().splitlines(keepends=True) for path in files)
    return [EVERY_FIELD, *(b"".join(line for line in text if line not in HEAD.splitlines(True)) for text in lines)]


def run(data: bytes) -> None:
    """Load a file whose first two lines are right."""
    try:
        configuration = load_bytes(HEAD + data, "f.yaml").configuration
    except ConfigError as error:
        _judge(error)
        return
    assert load_bytes(to_yaml(configuration).encode()).configuration == configuration
    assert load_bytes(to_json(configuration)).configuration == configuration


def _judge(refusal: ConfigError) -> None:
    assert refusal.problems
    for problem in refusal.problems:
        text = str(problem)
        assert text.startswith("f.yaml"), text
        assert problem.message, text
        assert len(text.splitlines()) == 1, text
