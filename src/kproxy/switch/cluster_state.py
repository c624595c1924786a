"""Where a switch of a cluster has got to: an annotation of its ConfigMap."""

import json
from typing import Any

import msgspec

from kproxy.switch.cluster_client import Json
from kproxy.switch.plan import SwitchError

ANNOTATION = "kproxy/switch"


class ClusterState(msgspec.Struct, frozen=True, kw_only=True):
    """The annotation's content."""

    from_mode: str
    to_mode: str
    backup: str
    """The ConfigMap with the data of before."""
    done: tuple[str, ...] = ()
    """The nodes that serve in the new mode."""
    replacing: tuple[str, ...] = ()
    """The nodes whose pods were being replaced; written before they are."""
    rolling_back: bool = False


def read_state(config_map: Json) -> ClusterState | None:
    """The unfinished switch of a ConfigMap; None when there is none.

    Raises:
        SwitchError: what is there cannot be read
    """
    text = (config_map["metadata"].get("annotations") or {}).get(ANNOTATION)
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=ClusterState)
    except msgspec.DecodeError as error:
        raise SwitchError(f"annotation {ANNOTATION} of the ConfigMap cannot be read: {error}") from error


def annotated(config_map: Json, state: ClusterState | None) -> Json:
    """A ConfigMap with an unfinished switch; with None, without."""
    annotations: dict[str, Any] = {**(config_map["metadata"].get("annotations") or {})}
    annotations.pop(ANNOTATION, None)
    if state is not None:
        annotations[ANNOTATION] = json.dumps(msgspec.to_builtins(state))
    return {**config_map, "metadata": {**config_map["metadata"], "annotations": annotations}}
