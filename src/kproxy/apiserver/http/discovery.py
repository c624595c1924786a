"""Discovery: which API groups, versions and resources there are."""

import platform

from kproxy.apiserver.errors import Json
from kproxy.apiserver.resources import RESOURCES, Resource

SERVER_VERSION = ("1", "36")
"""The Kubernetes version whose behaviour the server shows."""

_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_STATUS_VERBS = ("get", "patch", "update")


def group_versions() -> dict[tuple[str, str], list[Resource]]:
    """The served resources by group and version; the legacy group is ""."""
    grouped: dict[tuple[str, str], list[Resource]] = {}
    for resource in RESOURCES:
        grouped.setdefault((resource.group, resource.version), []).append(resource)
    return grouped


def version_info() -> Json:
    """The document at `/version`."""
    major, minor = SERVER_VERSION
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"v{major}.{minor}.0+kproxy",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": f"linux/{machine}",
    }


def api_versions() -> Json:
    """The document at `/api`."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def api_group(name: str) -> Json | None:
    """The document at `/apis/<group>`; None for a group that is not served."""
    versions = [version for group, version in group_versions() if group == name and group]
    if not versions:
        return None
    entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": entries, "preferredVersion": entries[0]}


def api_groups() -> Json:
    """The document at `/apis`."""
    names = dict.fromkeys(group for group, _ in group_versions() if group)
    groups = [group for name in names if (group := api_group(name)) is not None]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def api_resources(group: str, version: str) -> Json:
    """The document at `/api/v1` and `/apis/<group>/<version>`."""
    resources: list[Json] = []
    for resource in group_versions()[group, version]:
        described: Json = {
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
        }
        listed = described | {"verbs": list(_VERBS)}
        if resource.short_names:
            listed["shortNames"] = list(resource.short_names)
        if resource.categories:
            listed["categories"] = list(resource.categories)
        resources.append(listed)
        if resource.has_status:
            status = {"name": f"{resource.plural}/status", "singularName": "", "verbs": list(_STATUS_VERBS)}
            resources.append(described | status)
    group_version = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}
