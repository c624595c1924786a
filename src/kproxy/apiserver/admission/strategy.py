"""How a resource's objects are completed and judged before they are stored."""

from kproxy.apiserver.admission.formats import dns1123_subdomain_error
from kproxy.apiserver.errors import FieldError, Json


class Strategy:
    """A resource without rules of its own; the others override what they need.

    `old` is the stored object on an update, None on a creation. Objects have passed the schema, so values
    have the right types; metadata is complete but for its generation.
    """

    def prepare(self, obj: Json, old: Json | None) -> list[FieldError]:
        """Fill in defaults and allocated values, in place; errors are values that cannot be allocated."""
        del obj, old
        return []

    def validate(self, obj: Json, old: Json | None) -> list[FieldError]:
        """Say what is wrong with a prepared object, one error for each fault."""
        del obj, old
        return []

    def name_error(self, name: str) -> str:
        """Say what is wrong with an object's name, "" when nothing is."""
        return dns1123_subdomain_error(name)

    def committed(self, obj: Json | None, old: Json | None) -> None:
        """Learn that `obj` has taken the place of `old` in the store; None is an object that is not there."""
        del obj, old


def spec_of(obj: Json) -> Json:
    """An object's spec, made when it has none."""
    spec: Json = obj.setdefault("spec", {})
    return spec
