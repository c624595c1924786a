"""The API server's state: objects, resourceVersions, and the history that watches follow. No I/O.

One counter gives every write, of whatever resource, its resourceVersion. A store belongs to one thread; beside
an event loop that serves it, use it from that loop's thread.
"""

import ipaddress
import secrets
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from kproxy.apiserver import errors
from kproxy.apiserver.admission.cluster_objects import NamespaceStrategy, NodeStrategy, ServiceCIDRStrategy
from kproxy.apiserver.admission.endpointslices import EndpointSliceStrategy
from kproxy.apiserver.admission.events import EventStrategy
from kproxy.apiserver.admission.metadata import SYSTEM_FIELDS, validate_metadata
from kproxy.apiserver.admission.services import ServiceStrategy
from kproxy.apiserver.admission.strategy import Strategy
from kproxy.apiserver.collection import Collection
from kproxy.apiserver.errors import Json
from kproxy.apiserver.history import History
from kproxy.apiserver.patches.server_side_apply import Writer, track_update
from kproxy.apiserver.resources import (
    ENDPOINT_SLICES,
    EVENTS,
    NAMESPACES,
    NODES,
    SERVICE_CIDRS,
    SERVICES,
    STORED_RESOURCES,
    Resource,
    resource_of,
)
from kproxy.apiserver.schema import conform, schema_of
from kproxy.apiserver.stored import StoredObject, copy_of, encode_object

DEFAULT_SERVICE_CIDRS = ("10.96.0.0/12", "fd00:10:96::/108")
DEFAULT_NODE_PORTS = (30000, 32767)
DEFAULT_HISTORY = 4096
"""Events kept for each resource."""

INITIAL_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")

_NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_NAME_TRIES = 8
_BASE_LENGTH = 58
_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Store:
    """All objects of an API server.

    Objects go in and out as the API's JSON in dictionaries; what is stored is encoded once, at the write.
    Methods raise `ApiError` for what a client would be told: 404, 409, 422 and so on.
    """

    def __init__(
        self,
        *,
        service_cidrs: Sequence[str] = DEFAULT_SERVICE_CIDRS,
        node_ports: tuple[int, int] = DEFAULT_NODE_PORTS,
        history: int = DEFAULT_HISTORY,
        first_resource_version: int = 1,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        """`service_cidrs` is one network, or one of each family with the default family's first; `node_ports`
        the range's first and last port; `history` the number of events kept for each resource.

        Raises `ValueError` for ranges that cannot be allocated from.
        """
        networks = [ipaddress.ip_network(text, strict=False) for text in service_cidrs]
        self._strategies: dict[str, Strategy] = {resource.key: Strategy() for resource in STORED_RESOURCES} | {
            SERVICES.key: ServiceStrategy(networks, node_ports),
            ENDPOINT_SLICES.key: EndpointSliceStrategy(),
            NODES.key: NodeStrategy(),
            NAMESPACES.key: NamespaceStrategy(),
            EVENTS.key: EventStrategy(),
            SERVICE_CIDRS.key: ServiceCIDRStrategy(),
        }
        self._collections = {
            resource.key: Collection(resource, History(history, first_resource_version))
            for resource in STORED_RESOURCES
        }
        self._clock = clock
        self._resource_version = first_resource_version
        for name in INITIAL_NAMESPACES:
            self.create(NAMESPACES, {"metadata": {"name": name}})

    @property
    def resource_version(self) -> int:
        """That of the latest write."""
        return self._resource_version

    def collection(self, resource: Resource) -> Collection:
        """A resource's objects, for lists and watches; for a view, those of the resource it is stored as."""
        return self._collections[resource.stored_as or resource.key]

    def get(self, resource: Resource, namespace: str, name: str) -> StoredObject:
        obj = self.collection(resource).get((namespace, name))
        if obj is None:
            raise errors.not_found(resource.plural, name, resource.group)
        return obj

    def apply(self, obj: Json) -> Json:
        """Make an object what the argument says, whether or not it exists; returns it as stored.

        For programs that embed the server: status goes with the rest, a missing namespace is made, unknown
        fields are dropped, and the argument's resourceVersion is not looked at.
        """
        resource = _resource_for(obj.get("apiVersion", ""), obj.get("kind", ""))
        obj, issues = conform(resource, obj)
        if issues.mistyped:
            raise errors.bad_request("; ".join(issues.mistyped))
        meta = obj["metadata"] = {**obj.get("metadata", {})}
        meta.pop("resourceVersion", None)
        meta.pop("uid", None)
        if resource.namespaced:
            namespace = meta.setdefault("namespace", "default")
            if self.collection(NAMESPACES).get(("", namespace)) is None:
                self.create(NAMESPACES, {"metadata": {"name": namespace}})
        old = self.collection(resource).get((meta.get("namespace", ""), meta.get("name", "")))
        if old is None:
            stored = self._create(resource, obj)
        else:
            if "status" not in obj and "status" in (before := old.decode()):
                obj["status"] = before["status"]
            stored = self._replace(resource, obj, old)
        return {"apiVersion": resource.api_version, "kind": resource.kind, **stored.decode()}

    def delete(self, kind: str, name: str, namespace: str = "default") -> None:
        """Delete an object by its kind (`Service`); for programs that embed the server, the inverse of `apply`."""
        resource = next((known for known in STORED_RESOURCES if known.kind == kind), None)
        if resource is None:
            raise errors.bad_request(f'no resource has the kind "{kind}"')
        self.remove(resource, namespace if resource.namespaced else "", name)

    def create(self, resource: Resource, obj: Json, *, dry_run: bool = False) -> StoredObject:
        """Complete, validate and store a new object, which has passed the schema; its status does not count,
        except for Nodes, which register with it.
        """
        obj = copy_of(obj)
        if resource.has_status and resource is not NODES:
            obj.pop("status", None)
        return self._create(resource, obj, dry_run=dry_run)

    def _create(self, resource: Resource, obj: Json, *, dry_run: bool = False) -> StoredObject:
        strategy = self._strategies[resource.key]
        meta = obj.setdefault("metadata", {})
        if meta.get("resourceVersion"):
            raise errors.bad_request("resourceVersion should not be set on objects to be created")
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = self._generated_name(resource, meta)
        for field in (*SYSTEM_FIELDS, "resourceVersion", "selfLink"):
            meta.pop(field, None)
        meta["uid"] = str(uuid.uuid4())
        meta["creationTimestamp"] = self._timestamp()
        key = (meta.get("namespace", ""), meta.get("name", ""))
        if self.collection(resource).get(key) is not None:
            raise errors.already_exists(resource.plural, key[1], resource.group)
        self._admit(resource, obj, None)
        if not dry_run:
            self._resource_version += 1
        meta["resourceVersion"] = str(self._resource_version)
        stored = encode_object(resource, obj)
        if not dry_run:
            strategy.committed(obj, None)
            self.collection(resource).put(stored)
        return stored

    def update(
        self,
        resource: Resource,
        obj: Json,
        *,
        status: bool = False,
        dry_run: bool = False,
        writer: Writer | None = None,
    ) -> StoredObject:
        """Replace an object, which has passed the schema: all but its status, or its status only.

        A resourceVersion in its metadata must be the stored one's, or this raises 409 Conflict. `writer` comes to
        own what changes, if the object's fields have recorded owners.
        """
        obj = copy_of(obj)
        meta = obj.get("metadata", {})
        old = self.get(resource, meta.get("namespace", ""), meta.get("name", ""))
        before = old.decode()
        if meta.get("resourceVersion") and meta["resourceVersion"] != str(old.resource_version):
            raise errors.conflict(resource.plural, old.name, resource.group, _MODIFIED)
        if meta.get("uid") and meta["uid"] != old.uid:
            why = f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {old.uid}"
            raise errors.conflict(resource.plural, old.name, resource.group, why)
        if status:
            obj = {**before, "metadata": meta, "status": obj.get("status", {})}
        elif resource.has_status:
            obj = {key: value for key, value in obj.items() if key != "status"}
            if "status" in before:
                obj["status"] = before["status"]
        return self._replace(resource, obj, old, dry_run=dry_run, writer=writer)

    def remove(
        self, resource: Resource, namespace: str, name: str, *, preconditions: Json | None = None, dry_run: bool = False
    ) -> StoredObject:
        """Delete an object, or mark it as being deleted while it has finalizers; returns its last state.

        A Namespace takes along what is in it.
        """
        old = self.get(resource, namespace, name)
        for field, value in (("uid", old.uid), ("resourceVersion", str(old.resource_version))):
            asked = (preconditions or {}).get(field)
            if asked and asked != value:
                why = f"Precondition failed: {field} in precondition: {asked}, {field} in object meta: {value}"
                raise errors.conflict(resource.plural, name, resource.group, why)
        if dry_run:
            return old
        obj = old.decode()
        if obj["metadata"].get("finalizers"):
            if "deletionTimestamp" in obj["metadata"]:
                return old
            obj["metadata"] |= {"deletionTimestamp": self._timestamp(), "deletionGracePeriodSeconds": 0}
            return self._store(resource, obj, old)
        if resource is NAMESPACES:
            self._empty_namespace(name)
        return self._drop(resource, obj)

    def snapshot(self) -> Iterable[tuple[Resource, StoredObject]]:
        """All objects; use it up before the next write."""
        for collection in self._collections.values():
            for obj in collection:
                yield collection.resource, obj

    def restore(self, objects: Iterable[tuple[Resource, Json]], resource_version: int) -> None:
        """Replace everything by a snapshot's objects, metadata and all; before anyone lists or watches.

        Watches from before the restored resourceVersion are told to list anew.
        """
        history = {key: collection.history for key, collection in self._collections.items()}
        self._resource_version = max(self._resource_version, resource_version)
        self._collections = {
            resource.key: Collection(resource, history[resource.key].emptied(self._resource_version))
            for resource in STORED_RESOURCES
        }
        for resource, obj in objects:
            self._strategies[resource.key].committed(obj, None)
            self.collection(resource).restore(encode_object(resource, obj))

    def _replace(
        self, resource: Resource, obj: Json, old: StoredObject, *, dry_run: bool = False, writer: Writer | None = None
    ) -> StoredObject:
        before = old.decode()
        meta = {key: value for key, value in obj["metadata"].items() if key not in SYSTEM_FIELDS}
        meta.pop("selfLink", None)
        meta |= {field: before["metadata"][field] for field in SYSTEM_FIELDS if field in before["metadata"]}
        meta |= {"resourceVersion": str(old.resource_version)}
        if "managedFields" in before["metadata"]:
            meta.setdefault("managedFields", before["metadata"]["managedFields"])
        obj = {**obj, "metadata": meta}
        self._admit(resource, obj, before)
        if meta.get("managedFields") and writer is not None:
            meta["managedFields"] = track_update(before, obj, schema_of(resource), writer)
        if {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")} == before:
            return old
        if dry_run:
            return encode_object(resource, obj)
        if "deletionTimestamp" in meta and not meta.get("finalizers"):
            return self._drop(resource, obj)
        return self._store(resource, obj, old)

    def _admit(self, resource: Resource, obj: Json, old: Json | None) -> None:
        strategy = self._strategies[resource.key]
        faults = validate_metadata(resource, obj["metadata"], strategy)
        faults = faults or strategy.prepare(obj, old) or strategy.validate(obj, old)
        if faults:
            raise errors.invalid(resource.kind, resource.group, obj["metadata"].get("name", ""), faults)

    def _store(self, resource: Resource, obj: Json, old: StoredObject) -> StoredObject:
        self._resource_version += 1
        obj["metadata"]["resourceVersion"] = str(self._resource_version)
        stored = encode_object(resource, obj)
        self._strategies[resource.key].committed(obj, old.decode())
        self.collection(resource).put(stored)
        return stored

    def _drop(self, resource: Resource, obj: Json) -> StoredObject:
        old = self.collection(resource).get((obj["metadata"].get("namespace", ""), obj["metadata"]["name"]))
        self._resource_version += 1
        obj["metadata"]["resourceVersion"] = str(self._resource_version)
        last = encode_object(resource, obj)
        self._strategies[resource.key].committed(None, old.decode() if old else None)
        self.collection(resource).remove(last)
        return last

    def _empty_namespace(self, name: str) -> None:
        for resource in STORED_RESOURCES:
            if resource.namespaced:
                for obj in [obj for obj in self.collection(resource) if obj.namespace == name]:
                    self._drop(resource, obj.decode())

    def _generated_name(self, resource: Resource, meta: Json) -> str:
        base = meta["generateName"][:_BASE_LENGTH]
        for _ in range(_NAME_TRIES):
            name: str = base + "".join(secrets.choice(_NAME_ALPHABET) for _ in range(5))
            if self.collection(resource).get((meta.get("namespace", ""), name)) is None:
                return name
        raise errors.already_exists(resource.plural, base, resource.group)

    def _timestamp(self) -> str:
        return self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")


def _resource_for(api_version: str, kind: str) -> Resource:
    resource = resource_of(api_version, kind)
    if resource is None or resource.stored_as:
        raise errors.bad_request(f'no resource has the kind "{kind}" in the version "{api_version}"')
    return resource
