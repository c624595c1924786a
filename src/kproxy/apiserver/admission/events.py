"""Events: stored as `core/v1`, and seen as `events.k8s.io/v1` by those who ask for that (KEP-383)."""

from kproxy.apiserver.admission.strategy import Strategy
from kproxy.apiserver.errors import FieldError, Json

# events.k8s.io/v1 name → core/v1 name
_RENAMED = {
    "note": "message",
    "regarding": "involvedObject",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_RENAMED_BACK = {core: new for new, core in _RENAMED.items()}


class EventStrategy(Strategy):
    def validate(self, obj: Json, old: Json | None) -> list[FieldError]:
        del old
        namespace = obj["metadata"].get("namespace", "")
        involved = obj.get("involvedObject", {}).get("namespace", "")
        if (involved or "default") != namespace:
            return [FieldError.invalid("involvedObject.namespace", involved, "does not match event.namespace")]
        return []


def event_to_core(event: Json) -> Json:
    """An `events.k8s.io/v1` Event as `core/v1` has it; `kind` and `apiVersion` are left to the caller."""
    return {_RENAMED.get(key, key): value for key, value in event.items()}


def event_from_core(event: Json) -> Json:
    """The inverse of `event_to_core`."""
    return {_RENAMED_BACK.get(key, key): value for key, value in event.items()}
