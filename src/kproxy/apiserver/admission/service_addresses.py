"""Allocation of cluster IPs, single and dual stack (KEP-563), out of the service CIDRs (KEP-3070 for the order)."""

import ipaddress
from collections.abc import Sequence
from typing import TypeAlias

from kproxy.apiserver.admission.formats import family_of, ip_error, parse_ip
from kproxy.apiserver.errors import FieldError, Json
from kproxy.apiserver.stored import Key

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

HEADLESS = "None"
_FIELD = "spec.clusterIPs"


class AddressRange:
    """One family's service CIDR and who has which of its addresses.

    Addresses that the server chooses come from the upper band first: the lower one is left to those
    who ask for a fixed address.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.family = f"IPv{network.version}"
        self._owners: dict[str, Key] = {}
        self._size = network.num_addresses - (2 if network.version == 4 else 1)
        self._next = min(max(16, self._size // 16), 256) if self._size > 16 else 0

    def refusal(self, address: str, owner: Key) -> str:
        """Why an owner cannot have an address; "" when it can."""
        parsed = parse_ip(address)
        if parsed is None or parsed not in self.network:
            return f"the provided IP ({address}) is not in the valid range. The range of valid IPs is {self.network}"
        holder = self._owners.get(str(parsed))
        return "provided IP is already allocated" if holder and holder != owner else ""

    def pick(self) -> str:
        """A free address, "" when there is none. Not taken until `take`."""
        first = int(self.network.network_address) + 1
        make = type(self.network.network_address)
        for step in range(self._size):
            offset = (self._next + step) % self._size
            address = str(make(first + offset))
            if address not in self._owners:
                self._next = offset + 1
                return address
        return ""

    def take(self, address: str, owner: Key) -> None:
        self._owners[address] = owner

    def release(self, address: str, owner: Key) -> None:
        if self._owners.get(address) == owner:
            del self._owners[address]


class AddressAllocator:
    """Settles a Service's IP families and cluster IPs."""

    def __init__(self, networks: Sequence[Network]) -> None:
        """Takes one network, or one of each family; the first one's family is the default."""
        families = [network.version for network in networks]
        if not networks or len(set(families)) != len(families):
            raise ValueError("service CIDRs must be one network, or two of different IP families")
        self.ranges = {f"IPv{network.version}": AddressRange(network) for network in networks}

    def assign(self, spec: Json, owner: Key) -> list[FieldError]:
        """Complete `ipFamilies`, `ipFamilyPolicy`, `clusterIP` and `clusterIPs` in place."""
        if spec["type"] == "ExternalName":
            return []
        if not spec.get("clusterIPs"):
            spec["clusterIPs"] = [spec["clusterIP"]] if spec.get("clusterIP") else []
        addresses: list[str] = spec["clusterIPs"]
        if errors := self._settle_families(spec, addresses):
            return errors
        if addresses[:1] != [HEADLESS] and (errors := self._settle_addresses(spec, addresses, owner)):
            return errors
        spec["clusterIP"] = addresses[0]
        return []

    def committed(self, owner: Key, new: Sequence[str], old: Sequence[str]) -> None:
        """Record that an owner's stored addresses are `new` and no longer `old`."""
        for address in old:
            if address not in new and (family := family_of(address)) in self.ranges:
                self.ranges[family].release(str(parse_ip(address)), owner)
        for address in new:
            if (family := family_of(address)) in self.ranges:
                self.ranges[family].take(str(parse_ip(address)), owner)

    def _settle_families(self, spec: Json, addresses: list[str]) -> list[FieldError]:
        known = list(self.ranges)
        families: list[str] = spec.get("ipFamilies") or []
        selectorless = addresses[:1] == [HEADLESS] and not spec.get("selector")
        if not spec.get("ipFamilyPolicy"):
            spec["ipFamilyPolicy"] = "RequireDualStack" if selectorless and len(families) != 1 else "SingleStack"
        if addresses[:1] != [HEADLESS]:
            for index, address in enumerate(addresses):
                family = family_of(address)
                if not family:
                    return [FieldError.invalid(f"{_FIELD}[{index}]", address, ip_error(address))]
                if index == len(families):
                    families = [*families, family]
        if not families:
            families = [known[0]]
        policy = spec["ipFamilyPolicy"]
        if policy != "SingleStack" and len(families) == 1:
            others = [family for family in ("IPv4", "IPv6") if family != families[0]]
            families = [*families, *(family for family in others if family in known or selectorless)]
        if policy == "RequireDualStack" and len(known) < 2 and not selectorless:
            detail = "this cluster is not configured for dual-stack services"
            return [FieldError.invalid("spec.ipFamilyPolicy", policy, detail)]
        if policy == "SingleStack" and (len(families) > 1 or len(addresses) > 1):
            detail = "must be RequireDualStack or PreferDualStack when multiple IP families are specified"
            return [FieldError.invalid("spec.ipFamilyPolicy", policy, detail)]
        for index, family in enumerate(families):
            if family not in known and not selectorless:
                detail = "not configured on this cluster"
                return [FieldError.invalid(f"spec.ipFamilies[{index}]", family, detail)]
        spec["ipFamilies"] = families
        return []

    def _settle_addresses(self, spec: Json, addresses: list[str], owner: Key) -> list[FieldError]:
        for index, family in enumerate(spec["ipFamilies"]):
            if index == len(addresses):
                picked = self.ranges[family].pick()
                if not picked:
                    return [FieldError.invalid(_FIELD, addresses, "failed to allocate an IP: range is full")]
                addresses.append(picked)
                continue
            if family_of(addresses[index]) != family:
                detail = f'expected an {family} value as indicated by "spec.ipFamilies[{index}]"'
                return [FieldError.invalid(f"{_FIELD}[{index}]", addresses[index], detail)]
            if refusal := self.ranges[family].refusal(addresses[index], owner):
                detail = f"failed to allocate IP {addresses[index]}: {refusal}"
                return [FieldError.invalid(_FIELD, list(addresses), detail)]
        return []
