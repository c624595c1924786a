"""Rules for every object's metadata."""

from kproxy.apiserver.admission.formats import label_value_error, qualified_name_error
from kproxy.apiserver.admission.strategy import Strategy
from kproxy.apiserver.errors import FieldError, Json
from kproxy.apiserver.resources import Resource

ANNOTATIONS_LIMIT = 256 * 1024
"""Most bytes that all annotations of an object may take together."""

# What only the server writes; clients' values on an update are put right silently, as clients send back what they read.
SYSTEM_FIELDS = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")


def validate_metadata(resource: Resource, meta: Json, strategy: Strategy) -> list[FieldError]:
    """What is wrong with a complete metadata; its namespace is the URL's and is not judged here."""
    errors = []
    if not meta.get("name"):
        errors.append(FieldError.required("metadata.name", "name or generateName is required"))
    elif problem := strategy.name_error(meta["name"]):
        errors.append(FieldError.invalid("metadata.name", meta["name"], problem))
    if meta.get("namespace") and not resource.namespaced:
        errors.append(FieldError.forbidden("metadata.namespace", "not allowed on this type"))
    for key, value in meta.get("labels", {}).items():
        if problem := qualified_name_error(key):
            errors.append(FieldError.invalid("metadata.labels", key, problem))
        if problem := label_value_error(value):
            errors.append(FieldError.invalid("metadata.labels", value, problem))
    annotations = meta.get("annotations", {})
    errors += [
        FieldError.invalid("metadata.annotations", key, problem)
        for key in annotations
        if (problem := qualified_name_error(key.lower()))
    ]
    if sum(len(key) + len(value) for key, value in annotations.items()) > ANNOTATIONS_LIMIT:
        text = f"Too long: may not be more than {ANNOTATIONS_LIMIT} bytes"
        errors.append(FieldError("FieldValueTooLong", "metadata.annotations", text))
    errors += [
        FieldError.invalid("metadata.finalizers", finalizer, problem)
        for finalizer in meta.get("finalizers", [])
        if (problem := qualified_name_error(finalizer))
    ]
    return errors
