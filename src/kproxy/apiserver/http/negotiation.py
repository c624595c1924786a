"""What a client accepts and what it sends: the media types of the API."""

from collections.abc import Iterator
from enum import Enum

from kproxy.apiserver.errors import ApiError, not_acceptable

JSON = "application/json"
YAML_TYPES = ("application/yaml", "application/apply-patch+yaml")

_ACCEPTED = (
    JSON,
    "application/json;as=Table;g=meta.k8s.io;v=v1",
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
)


class Form(Enum):
    """How objects are to be represented."""

    OBJECTS = "objects"
    TABLE = "Table"
    METADATA = "PartialObjectMetadata"


def negotiate(accept: str) -> Form:
    """The first form in an `Accept` header that the server has; raises `ApiError` 406 when there is none.

    The API's clients list what they like best first, and use no q-values.
    """
    for media_type, parameters in _clauses(accept):
        if media_type not in (JSON, "application/*", "*/*"):
            continue
        form = parameters.get("as", "")
        if not form:
            return Form.OBJECTS
        if media_type != JSON or parameters.get("g") != "meta.k8s.io" or parameters.get("v") != "v1":
            continue
        if form == "Table":
            return Form.TABLE
        if form in ("PartialObjectMetadata", "PartialObjectMetadataList"):
            return Form.METADATA
    raise not_acceptable(_ACCEPTED)


def require_json(accept: str) -> None:
    """Raises `ApiError` 406 unless a document in plain JSON will do; parameters are preferences, not demands."""
    if not any(media_type in (JSON, "application/*", "*/*") for media_type, _ in _clauses(accept)):
        raise not_acceptable((JSON,))


def error_for_accept(accept: str, media_types: tuple[str, ...]) -> ApiError | None:
    """The 406 for a client that wants none of some media types."""
    wanted = {media_type for media_type, _ in _clauses(accept)}
    return None if wanted & {*media_types, "*/*", "application/*"} else not_acceptable(media_types)


def _clauses(accept: str) -> Iterator[tuple[str, dict[str, str]]]:
    for clause in (accept or "*/*").split(","):
        media_type, *rest = (part.strip() for part in clause.split(";"))
        pairs = (part.partition("=") for part in rest)
        yield media_type.lower(), {name.strip().lower(): value.strip() for name, _, value in pairs}
