"""The formats of names, labels, addresses and ports in API objects (RFC 1035, RFC 1123, RFC 6335).

Each function returns what is wrong, in words for the object's author, or "" when nothing is.
"""

import ipaddress
import re
from functools import lru_cache

_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL_1123 = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN_1123 = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED_PART = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_PORT_NAME = re.compile(r"(?!.*--)[a-z0-9-]*[a-z][a-z0-9-]*")


def dns1035_label_error(text: str) -> str:
    if len(text) > 63:
        return "must be no more than 63 characters"
    if not _LABEL_1035.fullmatch(text):
        return (
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
            "character, and end with an alphanumeric character"
        )
    return ""


def dns1123_label_error(text: str) -> str:
    if len(text) > 63:
        return "must be no more than 63 characters"
    if not _LABEL_1123.fullmatch(text):
        return (
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and "
            "end with an alphanumeric character"
        )
    return ""


def dns1123_subdomain_error(text: str) -> str:
    if len(text) > 253:
        return "must be no more than 253 characters"
    if not _SUBDOMAIN_1123.fullmatch(text):
        return (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
            "start and end with an alphanumeric character"
        )
    return ""


@lru_cache(maxsize=4096)
def qualified_name_error(text: str) -> str:
    """Of a label's or an annotation's key: `[prefix/]name`."""
    prefix, slash, name = text.rpartition("/")
    if slash and (problem := dns1123_subdomain_error(prefix)):
        return f"prefix part {problem}"
    if not name:
        return "name part must be non-empty"
    if len(name) > 63:
        return "name part must be no more than 63 characters"
    if not _QUALIFIED_PART.fullmatch(name):
        return (
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
            "alphanumeric character"
        )
    return ""


@lru_cache(maxsize=4096)
def label_value_error(text: str) -> str:
    if len(text) > 63:
        return "must be no more than 63 characters"
    if text and not _QUALIFIED_PART.fullmatch(text):
        return (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
            "start and end with an alphanumeric character"
        )
    return ""


def port_number_error(number: int) -> str:
    return "" if 1 <= number <= 65535 else "must be between 1 and 65535, inclusive"


def port_name_error(text: str) -> str:
    """Of an IANA service name (RFC 6335)."""
    if len(text) > 15:
        return "must be no more than 15 characters"
    if text.startswith("-") or text.endswith("-") or not _PORT_NAME.fullmatch(text):
        return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens, with at least one letter"
    return ""


def ip_error(text: str) -> str:
    return "" if parse_ip(text) else "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def cidr_error(text: str) -> str:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
    return "" if "/" in text else "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def special_ip_error(text: str) -> str:
    """Of an address that traffic from other hosts must be able to reach."""
    address = parse_ip(text)
    if address is None:
        return ip_error(text)
    if address.is_unspecified:
        return f"may not be unspecified ({text})"
    if address.is_loopback:
        return "may not be in the loopback range (127.0.0.0/8, ::1/128)"
    if address.is_link_local:
        return "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
    if address in _LINK_LOCAL_MULTICAST[address.version]:
        return "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
    return ""


_LINK_LOCAL_MULTICAST = {4: ipaddress.ip_network("224.0.0.0/24"), 6: ipaddress.ip_network("ff02::/16")}


@lru_cache(maxsize=16384)
def parse_ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a text spells, without a zone; None when it spells none."""
    if "%" in text:
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def family_of(text: str) -> str:
    """`IPv4` or `IPv6`, as API objects write it; "" when the text is no address."""
    address = parse_ip(text)
    return f"IPv{address.version}" if address else ""
