"""Byte streams in pieces of any size."""

import json
from collections.abc import Iterator
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kproxy.services.objects import EndpointSlice, Service
from kproxy.sources.errors import MalformedResponseError
from kproxy.sources.list_stream import ListDecoder
from kproxy.sources.watch_stream import LineSplitter
from kproxy.sources.wire import BadObject, ObjectDecoder

from .api_objects import JsonObject, endpoint_slice, event, items, service
from .property_settings import patient

TRICKY = {
    "metadata": {
        "name": "tricky",
        "annotations": {"a": '},{"metadata":{"name":"x"}', "b": 'é\n"items":[{"', "c": "\\"},
        "resourceVersion": "1",
    },
    "spec": {
        "nested": [{"metadata": {"name": "in"}}, {"metadata": {"name": "ner"}}],
        "ports": [{"port": 1}, {"port": 2}],
    },
}


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        yield data[start:end]


cuts = st.lists(st.integers(0, 1 << 20), max_size=40)
texts = st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=20)


@settings(patient)
@given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line), max_size=10), cuts)
def test_lines_are_the_same_however_they_arrive(lines: list[bytes], cuts: list[int]) -> None:
    splitter = LineSplitter()
    data = b"".join(line + b"\n" for line in lines) + b"half"
    assert [line for piece in pieces(data, cuts) for line in splitter.feed(piece)] == lines
    assert splitter.partial


def test_endless_line_is_refused() -> None:
    splitter = LineSplitter()
    for _ in range(32):
        assert splitter.feed(b"x" * (1 << 20)) == []
    with pytest.raises(MalformedResponseError):
        splitter.feed(b"x")


def decode(data: bytes, cuts: list[int]) -> tuple[list[Service | BadObject], str, str]:
    decoder = ListDecoder(ObjectDecoder(Service))
    found = [item for piece in pieces(data, cuts) for item in decoder.feed(piece)]
    rest, meta = decoder.finish()
    return found + rest, meta.resource_version, meta.continue_


@settings(patient)
@given(
    st.lists(st.tuples(texts, st.booleans()), max_size=6),
    cuts,
    st.sampled_from(["compact", "pretty", "metadata last", "typed items"]),
)
def test_lists_are_the_same_however_they_arrive(names: list[tuple[str, bool]], cuts: list[int], layout: str) -> None:
    objects: list[JsonObject] = []
    for number, (text, tricky) in enumerate(names):
        obj = json.loads(json.dumps(TRICKY if tricky else service("s", number)))
        obj["metadata"] |= {"name": f"n{number}", "labels": {"text": text}}
        objects.append({"kind": "Service", "apiVersion": "v1", **obj} if layout == "typed items" else obj)
    content = items(*objects, version=77, token="more")
    if layout == "metadata last":
        content = {"items": content["items"], "metadata": content["metadata"]}
    data = json.dumps(content, indent=2) if layout == "pretty" else json.dumps(content, separators=(",", ":"))
    found, version, token = decode(data.encode(), cuts)
    assert found == [msgspec.json.decode(json.dumps(obj), type=Service) for obj in objects]
    assert (version, token) == ("77", "more")


@settings(patient)
@given(cuts, st.integers(0, 3))
def test_bad_items_are_told_from_cut_ones(cuts: list[int], position: int) -> None:
    objects = [service("a", 1), TRICKY, service("b", 2)]
    # Its type is wrong before the text that looks like a boundary.
    objects.insert(position, {"metadata": {"name": "bad"}, "spec": {"ports": 1, "x": TRICKY["spec"]}})
    found, _, _ = decode(json.dumps(items(*objects, version=7), separators=(",", ":")).encode(), cuts)
    assert [type(item).__name__ for item in found].count("BadObject") == 1
    bad = found[position]
    assert isinstance(bad, BadObject)
    assert bad.name == "bad"
    assert len(found) == 4


@settings(patient)
@given(st.integers(1, 2000), cuts)
def test_list_cut_short_is_an_error(missing: int, cuts: list[int]) -> None:
    data = json.dumps(items(service("a", 1), service("b", 2), version=7), separators=(",", ":")).encode()
    with pytest.raises(MalformedResponseError):
        decode(data[: max(0, len(data) - missing)], cuts)


@settings(patient)
@given(st.binary(max_size=200))
def test_no_bytes_crash_the_decoders(data: bytes) -> None:
    for body in (data, b'{"metadata":{},"items":[' + data, b'{"metadata":{},"items":[{"metadata":' + data):
        try:
            decode(body, [7, 30])
        except MalformedResponseError:
            continue


@settings(patient)
@given(cuts)
def test_list_is_decoded_without_being_kept(cuts: list[int]) -> None:
    decoder = ListDecoder(ObjectDecoder(EndpointSlice))
    data = json.dumps(
        items(*(endpoint_slice(f"s{i}", i) for i in range(50)), version=7), separators=(",", ":")
    ).encode()
    found = sum(len(decoder.feed(piece)) for piece in pieces(data, [*cuts, *range(0, len(data), 4096)]))
    rest, _ = decoder.finish()
    assert found >= 49
    assert found + len(rest) == 50


def test_event_of_several_megabytes_in_small_pieces() -> None:
    line = event("ADDED", {"metadata": {"name": "big", "annotations": {"x": "y" * (4 << 20)}}})
    splitter = LineSplitter()
    found = [out for start in range(0, len(line), 1000) for out in splitter.feed(line[start : start + 1000])]
    assert found == [line[:-1]]
