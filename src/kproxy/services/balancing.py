"""How connections are balanced over a Service's endpoints: annotations of our own, beyond what Kubernetes knows.

On a Service, `kproxy/balancing` is one of `random` (the default), `round-robin`, `source-hash`,
`destination-hash` and `weighted`. Weights come from annotations `kproxy/weights`: on an EndpointSlice by address
(`10.244.1.10=3, 10.244.1.11=1`), on the Service by topology (`node=4, zone=2`: endpoints on the client's own
node count four times, those in its zone twice). Both multiply; what is not named weighs 1.
"""

import enum
from typing import NamedTuple

MAX_WEIGHT = 100


class Algorithm(enum.Enum):
    """The values of the annotation `kproxy/balancing`."""

    RANDOM = "random"
    ROUND_ROBIN = "round-robin"
    SOURCE_HASH = "source-hash"
    """A client's connections go to one endpoint as long as the number of endpoints stays."""
    DESTINATION_HASH = "destination-hash"
    """The connections to one address of the Service go to one endpoint."""
    WEIGHTED = "weighted"
    """Random, each endpoint in proportion to its weight."""


class TopologyWeights(NamedTuple):
    """Factors for endpoints on this node, and for others in its zone."""

    node: int = 1
    zone: int = 1


def parse_algorithm(text: str) -> Algorithm | None:
    """None for an unknown value."""
    return next((algorithm for algorithm in Algorithm if algorithm.value == text.strip()), None)


def parse_weights(text: str) -> dict[str, int]:
    """Read `name=weight, name=weight`.

    Raises:
        ValueError: says which part is not a weight from 0 to 100
    """
    weights = {}
    for part in text.split(","):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        if not name or not equals or not number.isascii() or not number.isdigit() or int(number) > MAX_WEIGHT:
            raise ValueError(f"{part.strip()!r} is not NAME=WEIGHT with a weight from 0 to {MAX_WEIGHT}")
        weights[name] = int(number)
    return weights


def parse_topology_weights(text: str) -> TopologyWeights:
    """Read `node=4, zone=2`.

    Raises:
        ValueError: says what is wrong
    """
    weights = parse_weights(text)
    unknown = weights.keys() - {"node", "zone"}
    if unknown:
        raise ValueError(f"{min(unknown)!r} is neither node nor zone")
    return TopologyWeights(**weights)
