"""Reading objects that clients send as protobuf: `kubectl create service` and `create namespace`, events.

Go clients encode what they create as `application/vnd.kubernetes.protobuf`, whatever they accept in return. Field
numbers are those of `generated.proto` in k8s.io/api and k8s.io/apimachinery; fields that no such client sends are
not listed, and skipped.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from kproxy.apiserver.errors import Json

PROTOBUF = "application/vnd.kubernetes.protobuf"

_MAGIC = b"k8s\x00"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Fields: TypeAlias = Mapping[int, tuple[str, str]]
"""Field number → name in JSON and type; `*` after a type means repeated."""

_REFERENCE: Fields = {
    1: ("kind", "string"),
    2: ("namespace", "string"),
    3: ("name", "string"),
    4: ("uid", "string"),
    5: ("apiVersion", "string"),
    6: ("resourceVersion", "string"),
    7: ("fieldPath", "string"),
}
_MESSAGES: Mapping[str, Fields] = {
    "Unknown": {1: ("typeMeta", "TypeMeta"), 2: ("raw", "bytes")},
    "TypeMeta": {1: ("apiVersion", "string"), 2: ("kind", "string")},
    "ObjectMeta": {
        1: ("name", "string"),
        2: ("generateName", "string"),
        3: ("namespace", "string"),
        5: ("uid", "string"),
        6: ("resourceVersion", "string"),
        11: ("labels", "map"),
        12: ("annotations", "map"),
        14: ("finalizers", "string*"),
    },
    "v1/Service": {1: ("metadata", "ObjectMeta"), 2: ("spec", "ServiceSpec")},
    "ServiceSpec": {
        1: ("ports", "ServicePort*"),
        2: ("selector", "map"),
        3: ("clusterIP", "string"),
        4: ("type", "string"),
        5: ("externalIPs", "string*"),
        7: ("sessionAffinity", "string"),
        8: ("loadBalancerIP", "string"),
        9: ("loadBalancerSourceRanges", "string*"),
        10: ("externalName", "string"),
        11: ("externalTrafficPolicy", "string"),
        12: ("healthCheckNodePort", "int"),
        13: ("publishNotReadyAddresses", "bool"),
        14: ("sessionAffinityConfig", "SessionAffinityConfig"),
        17: ("ipFamilyPolicy", "string"),
        18: ("clusterIPs", "string*"),
        19: ("ipFamilies", "string*"),
        20: ("allocateLoadBalancerNodePorts", "bool"),
        21: ("loadBalancerClass", "string"),
        22: ("internalTrafficPolicy", "string"),
        23: ("trafficDistribution", "string"),
    },
    "ServicePort": {
        1: ("name", "string"),
        2: ("protocol", "string"),
        3: ("port", "int"),
        4: ("targetPort", "int-or-string"),
        5: ("nodePort", "int"),
        6: ("appProtocol", "string"),
    },
    "IntOrString": {1: ("type", "int"), 2: ("intVal", "int"), 3: ("strVal", "string")},
    "SessionAffinityConfig": {1: ("clientIP", "ClientIPConfig")},
    "ClientIPConfig": {1: ("timeoutSeconds", "int")},
    "v1/Namespace": {1: ("metadata", "ObjectMeta")},
    "ObjectReference": _REFERENCE,
    "Time": {1: ("seconds", "int"), 2: ("nanos", "int")},
    "EventSource": {1: ("component", "string"), 2: ("host", "string")},
    "EventSeries": {1: ("count", "int"), 2: ("lastObservedTime", "time")},
    "v1/Event": {
        1: ("metadata", "ObjectMeta"),
        2: ("involvedObject", "ObjectReference"),
        3: ("reason", "string"),
        4: ("message", "string"),
        5: ("source", "EventSource"),
        6: ("firstTimestamp", "time"),
        7: ("lastTimestamp", "time"),
        8: ("count", "int"),
        9: ("type", "string"),
        10: ("eventTime", "time"),
        11: ("series", "EventSeries"),
        12: ("action", "string"),
        13: ("related", "ObjectReference"),
        14: ("reportingComponent", "string"),
        15: ("reportingInstance", "string"),
    },
    "events.k8s.io/v1/Event": {
        1: ("metadata", "ObjectMeta"),
        2: ("eventTime", "time"),
        3: ("series", "EventSeries"),
        4: ("reportingController", "string"),
        5: ("reportingInstance", "string"),
        6: ("action", "string"),
        7: ("reason", "string"),
        8: ("regarding", "ObjectReference"),
        9: ("related", "ObjectReference"),
        10: ("note", "string"),
        11: ("type", "string"),
    },
}


class UnknownMessageError(ValueError):
    """The object is of a kind that is not read from protobuf."""


def decode_protobuf(data: bytes) -> Json:
    """The object in a request's body, as JSON has it.

    Raises `UnknownMessageError` for a kind without a table, `ValueError` for bytes that are no such message.
    """
    if not data.startswith(_MAGIC):
        raise ValueError("the body does not begin with the magic number of Kubernetes' protobuf encoding")
    envelope = _message(data[len(_MAGIC) :], "Unknown")
    kind = envelope.get("typeMeta", {})
    name = f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}"
    if name not in _MESSAGES:
        raise UnknownMessageError(name)
    return {**kind, **_message(envelope.get("raw", b""), name)}


def _message(data: bytes, name: str) -> Json:
    fields = _MESSAGES[name]
    message: Json = {}
    for number, raw in _split(data):
        if number not in fields:
            continue
        field, kind = fields[number]
        if kind == "map":
            entry = dict(_split(raw if isinstance(raw, bytes) else b""))
            message.setdefault(field, {})[_text(entry.get(1, b""))] = _text(entry.get(2, b""))
        elif kind.endswith("*"):
            message.setdefault(field, []).append(_value(raw, kind[:-1]))
        elif (value := _value(raw, kind)) not in (None, "", {}) and not (kind == "int" and value == 0):
            message[field] = value  # Go writes fields that are empty, which mean the same as absent ones.
    return message


def _value(raw: int | bytes, kind: str) -> Any:
    if kind == "bool":
        return bool(raw)
    if kind == "int":
        if not isinstance(raw, int):
            raise ValueError("a number is not encoded as a varint")
        return raw - (1 << 64) if raw >> 63 else raw
    if not isinstance(raw, bytes):
        raise ValueError(f"a value of type {kind} is not length-delimited")
    match kind:
        case "bytes":
            return raw
        case "string":
            return _text(raw)
        case "time":
            return _time(_message(raw, "Time"))
        case "int-or-string":
            either = _message(raw, "IntOrString")
            return either.get("strVal", "") if either.get("type") else either.get("intVal", 0)
    return _message(raw, kind)


def _split(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """A message's fields: numbers, and varints or length-delimited bytes."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            value, position = _varint(data, position)
            yield number, value
            continue
        length = {1: 8, 5: 4}.get(wire_type, 0)
        if wire_type == 2:
            length, position = _varint(data, position)
        elif not length:
            raise ValueError(f"wire type {wire_type} is not known")
        if position + length > len(data):
            raise ValueError("the message is cut off")
        yield number, data[position : position + length]
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(data) and shift < 64:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value & (1 << 64) - 1, position
        shift += 7
    raise ValueError("the message is cut off")


def _text(raw: int | bytes) -> str:
    if not isinstance(raw, bytes):
        raise ValueError("a text is not length-delimited")
    return raw.decode()


def _time(message: Json) -> str | None:
    if not message:
        return None
    try:
        moment = _EPOCH + timedelta(seconds=message.get("seconds", 0), microseconds=message.get("nanos", 0) // 1000)
    except OverflowError as error:
        raise ValueError("a time is out of range") from error
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment.microsecond else moment.strftime("%Y-%m-%dT%H:%M:%SZ")
