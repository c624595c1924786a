"""Allocation of node ports, and of the health check port that a Service with external policy Local has."""

from kproxy.apiserver.admission.service_defaults import wants_health_check_port, wants_node_ports
from kproxy.apiserver.errors import FieldError, Json
from kproxy.apiserver.stored import Key


class NodePortAllocator:
    """Who has which port of the node port range; the range's ends are both in it."""

    def __init__(self, first: int, last: int) -> None:
        if not 1 <= first <= last <= 65535:
            raise ValueError(f"{first}-{last} is not a range of ports")
        self._first = first
        self._last = last
        self._next = first
        self._owners: dict[int, Key] = {}

    def assign(self, spec: Json, owner: Key) -> list[FieldError]:
        """Check the ports that a Service asks for and choose those that it leaves open, in place."""
        errors = []
        claimed: set[int] = set()
        ports = spec.get("ports", [])
        for index, port in enumerate(ports):
            number = port.get("nodePort")
            if number:
                claimed.add(number)
                if refusal := self._refusal(number, owner):
                    errors.append(FieldError.invalid(f"spec.ports[{index}].nodePort", number, refusal))
        health_check = spec.get("healthCheckNodePort")
        if wants_health_check_port(spec) and health_check:
            claimed.add(health_check)
            if refusal := self._refusal(health_check, owner):
                errors.append(FieldError.invalid("spec.healthCheckNodePort", health_check, refusal))
        if errors:
            return errors
        if wants_node_ports(spec):
            by_number: dict[int, tuple[int, set[str]]] = {}
            for index, port in enumerate(ports):
                if port.get("nodePort"):
                    continue
                shared = by_number.get(port["port"])
                if shared and port["protocol"] not in shared[1]:
                    # The same port over several protocols gets one number, as users of DNS expect.
                    port["nodePort"] = shared[0]
                    shared[1].add(port["protocol"])
                    continue
                picked = self._pick(claimed)
                if not picked:
                    detail = "failed to allocate a nodePort: range is full"
                    return [FieldError.invalid(f"spec.ports[{index}].nodePort", 0, detail)]
                port["nodePort"] = picked
                by_number[port["port"]] = (picked, {port["protocol"]})
        if wants_health_check_port(spec) and not health_check:
            picked = self._pick(claimed)
            if not picked:
                detail = "failed to allocate a healthCheckNodePort: range is full"
                return [FieldError.invalid("spec.healthCheckNodePort", 0, detail)]
            spec["healthCheckNodePort"] = picked
        return []

    def committed(self, owner: Key, new: set[int], old: set[int]) -> None:
        """Record that an owner's stored ports are `new` and no longer `old`."""
        for number in old - new:
            if self._owners.get(number) == owner:
                del self._owners[number]
        for number in new:
            self._owners[number] = owner

    def _refusal(self, number: int, owner: Key) -> str:
        if not self._first <= number <= self._last:
            return f"provided port is not in the valid range. The range of valid ports is {self._first}-{self._last}"
        holder = self._owners.get(number)
        return "provided port is already allocated" if holder and holder != owner else ""

    def _pick(self, claimed: set[int]) -> int:
        size = self._last - self._first + 1
        for step in range(size):
            number = self._first + (self._next - self._first + step) % size
            if number not in self._owners and number not in claimed:
                self._next = number + 1
                claimed.add(number)
                return number
        return 0


def node_ports_of(spec: Json) -> set[int]:
    """All ports of the range that a stored Service holds."""
    numbers = {port["nodePort"] for port in spec.get("ports", []) if port.get("nodePort")}
    if spec.get("healthCheckNodePort"):
        numbers.add(spec["healthCheckNodePort"])
    return numbers
