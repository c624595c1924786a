"""How the lists and maps of the API's types merge, as their OpenAPI extensions say (`x-kubernetes-…`).

The schema's source does not carry these; they are the ones of the fields that the served kinds have. A list that
is not named here is atomic: it is replaced as a whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ListType:
    """`patch_key` merges elements in strategic merge patches ("" replaces the list, unless it is a set);
    `map_keys` identify elements in server-side apply; a `set` holds scalars, each once.
    """

    patch_key: str = ""
    map_keys: tuple[str, ...] = ()
    set: bool = False
    patch_set: bool = False


LIST_TYPES: Mapping[tuple[str, str], ListType] = {
    ("core_v1.ServiceSpec", "ports"): ListType("port", ("port", "protocol")),
    ("core_v1.ServiceStatus", "conditions"): ListType("type", ("type",)),
    ("core_v1.NodeSpec", "podCIDRs"): ListType(set=True, patch_set=True),
    ("core_v1.NodeStatus", "addresses"): ListType("type", ("type",)),
    ("core_v1.NodeStatus", "conditions"): ListType("type", ("type",)),
    ("core_v1.NamespaceStatus", "conditions"): ListType("type", ("type",)),
    ("networking_v1.ServiceCIDRStatus", "conditions"): ListType("type", ("type",)),
    ("discovery_v1.Endpoint", "addresses"): ListType(set=True),
    ("meta_v1.ObjectMeta", "ownerReferences"): ListType("uid", ("uid",)),
    ("meta_v1.ObjectMeta", "finalizers"): ListType(set=True, patch_set=True),
}
"""Type in `lightkube.models` and field → how the list merges."""

ATOMIC_MAPS = frozenset({("core_v1.ServiceSpec", "selector")})
"""Maps that are replaced as a whole by server-side apply."""

ATOMIC_TYPES = frozenset({"core_v1.ObjectReference"})
"""Objects that are replaced as a whole by server-side apply."""

MAP_KEY_DEFAULTS: Mapping[str, str] = {"protocol": "TCP"}
"""What a map key that an element leaves out stands for."""

ATOMIC = ListType()


def list_type(struct: str, field: str) -> ListType:
    return LIST_TYPES.get((struct, field), ATOMIC)
