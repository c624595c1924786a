"""The rules of the small cluster-scoped kinds: Nodes, Namespaces, ServiceCIDRs."""

from kproxy.apiserver.admission.formats import (
    cidr_error,
    dns1123_label_error,
    family_of,
    label_value_error,
    qualified_name_error,
)
from kproxy.apiserver.admission.strategy import Strategy, spec_of
from kproxy.apiserver.errors import FieldError, Json

TAINT_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")


class NodeStrategy(Strategy):
    def prepare(self, obj: Json, old: Json | None) -> list[FieldError]:
        del old
        spec = spec_of(obj)
        if spec.get("podCIDR") and not spec.get("podCIDRs"):
            spec["podCIDRs"] = [spec["podCIDR"]]
        elif spec.get("podCIDRs") and not spec.get("podCIDR"):
            spec["podCIDR"] = spec["podCIDRs"][0]
        return []

    def validate(self, obj: Json, old: Json | None) -> list[FieldError]:
        spec = obj["spec"]
        errors = _cidrs("spec.podCIDRs", spec.get("podCIDRs", []))
        if spec.get("podCIDR") and spec["podCIDR"] != spec["podCIDRs"][0]:
            errors.append(FieldError.invalid("spec.podCIDR", spec["podCIDR"], "must be the first of podCIDRs"))
        if old is not None and (before := old["spec"].get("podCIDRs")) and before != spec.get("podCIDRs"):
            detail = 'node updates may not change podCIDR except from "" to valid'
            errors.append(FieldError.forbidden("spec.podCIDRs", detail))
        seen: set[tuple[str, str]] = set()
        for index, taint in enumerate(spec.get("taints", [])):
            path, key, effect = f"spec.taints[{index}]", taint.get("key", ""), taint.get("effect", "")
            if problem := qualified_name_error(key):
                errors.append(FieldError.invalid(f"{path}.key", key, problem))
            if problem := label_value_error(taint.get("value", "")):
                errors.append(FieldError.invalid(f"{path}.value", taint["value"], problem))
            if not effect:
                errors.append(FieldError.required(f"{path}.effect"))
            elif effect not in TAINT_EFFECTS:
                errors.append(FieldError.unsupported(f"{path}.effect", effect, TAINT_EFFECTS))
            if (key, effect) in seen:
                errors.append(FieldError.duplicate(path, f"{key}:{effect}"))
            seen.add((key, effect))
        return errors


class NamespaceStrategy(Strategy):
    def prepare(self, obj: Json, old: Json | None) -> list[FieldError]:
        del old
        meta = obj["metadata"]
        if meta.get("name"):
            meta.setdefault("labels", {})["kubernetes.io/metadata.name"] = meta["name"]
        obj.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
        obj.setdefault("status", {}).setdefault("phase", "Active")
        return []

    def name_error(self, name: str) -> str:
        return dns1123_label_error(name)


class ServiceCIDRStrategy(Strategy):
    def validate(self, obj: Json, old: Json | None) -> list[FieldError]:
        cidrs = obj.get("spec", {}).get("cidrs", [])
        if not cidrs:
            return [FieldError.required("spec.cidrs", "at least one CIDR required")]
        errors = _cidrs("spec.cidrs", cidrs)
        if old is not None and old["spec"]["cidrs"] != cidrs[: len(old["spec"]["cidrs"])]:
            errors.append(FieldError.invalid("spec.cidrs", cidrs, "field is immutable"))
        return errors


def _cidrs(path: str, cidrs: list[str]) -> list[FieldError]:
    """At most one network of each family."""
    errors = []
    if len(cidrs) > 2:
        errors.append(FieldError.too_many(path, len(cidrs), 2))
    for index, text in enumerate(cidrs):
        if problem := cidr_error(text):
            errors.append(FieldError.invalid(f"{path}[{index}]", text, problem))
    families = [family_of(text.partition("/")[0]) for text in cidrs]
    if not errors and len(set(families)) != len(families):
        errors.append(FieldError.invalid(path, cidrs, "there must be no more than one CIDR for each IP family"))
    return errors
