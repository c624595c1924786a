"""Random changes of a small cluster, with so few names that they meet each other often."""

from random import Random
from typing import Any

from kproxy.services.objects import EndpointSlice, KubeObject, Service
from kproxy.services.tracker import ServiceTracker
from tests.services.builders import endpoint, service, slice_of

_SERVICES = 30
_PROTOCOLS = ["TCP", "UDP", "SCTP"]


class Churn:
    """Applies changes to a tracker, and remembers which objects there are in the end."""

    def __init__(self, seed: int, tracker: ServiceTracker) -> None:
        self._random = Random(seed)
        self._tracker = tracker
        self.objects: dict[tuple[type[KubeObject], str], KubeObject] = {}

    def apply(self, changes: int) -> None:
        for _ in range(changes):
            number = self._random.randrange(_SERVICES)
            kind = self._random.choices([self._slice, self._service, self._delete], [6, 3, 1])[0]
            kind(number)

    def _put(self, obj: KubeObject) -> None:
        self._tracker.upsert(obj)
        self.objects[type(obj), obj.metadata.name] = obj

    def _delete(self, number: int) -> None:
        candidates: list[tuple[type[KubeObject], str]] = [(Service, f"s{number}"), (EndpointSlice, f"s{number}-1")]
        for kind, name in candidates:
            if self._random.random() < 0.5 and (kind, name) in self.objects:
                del self.objects[kind, name]
                self._tracker.delete(kind, "default", name)

    def _service(self, number: int) -> None:
        pick = self._random
        type_ = pick.choice(["ClusterIP", "NodePort", "LoadBalancer"])
        port: dict[str, Any] = {"name": "p", "port": pick.choice([80, 443]), "protocol": pick.choice(_PROTOCOLS)}
        spec: dict[str, Any] = {"type": type_, "ports": [port]}
        if type_ != "ClusterIP":
            port["nodePort"] = 30000 + pick.randrange(_SERVICES)
            spec["externalTrafficPolicy"] = pick.choice(["Cluster", "Local"])
        if type_ == "LoadBalancer":
            spec["ingress"] = [{"ip": f"198.51.100.{number}"}]
            spec["loadBalancerSourceRanges"] = pick.choice([[], ["10.0.0.0/8"], ["0.0.0.0/0", "192.0.2.0/24"]])
            spec["healthCheckNodePort"] = 31000 + number
        if pick.random() < 0.3:
            spec["externalIPs"] = [f"203.0.113.{number}", f"198.51.100.{number}"][: pick.randrange(3)]
        if pick.random() < 0.3:
            spec["sessionAffinity"] = "ClientIP"
        spec["internalTrafficPolicy"] = pick.choice(["Cluster", "Cluster", "Local"])
        self._put(service(f"s{number}", clusterIP=f"10.96.0.{number + 1}", **spec))

    def _slice(self, number: int) -> None:
        pick = self._random
        ready = [
            endpoint(f"10.244.{number}.{i}", nodeName=pick.choice(["node", "peer"]), ready=pick.random() < 0.9)
            for i in pick.sample(range(1, 20), pick.choice([0, 1, 2, 3, 8]))
        ]
        self._put(slice_of(f"s{number}", *ready, ports=(("p", 8080),), protocol=pick.choice(_PROTOCOLS)))
