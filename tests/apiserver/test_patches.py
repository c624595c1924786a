"""The patch formats, by their specifications' own examples where there are any."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kproxy.apiserver.errors import ApiError
from kproxy.apiserver.patches.json_patch import json_patch
from kproxy.apiserver.patches.merge_patch import merge_patch
from kproxy.apiserver.patches.strategic_merge import strategic_merge
from kproxy.apiserver.resources import NODES, SERVICES
from kproxy.apiserver.schema import schema_of


@pytest.mark.parametrize(
    ("document", "operations", "patched"),
    [  # RFC 6902, appendix A
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
        ({"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "q"}], {"foo": ["bar", "q", "baz"]}),
        ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
        ({"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}),
        ({"baz": "qux"}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo"}),
        (
            {"foo": {"bar": 1, "waldo": "fred"}, "qux": {}},
            [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
            {"foo": {"bar": 1}, "qux": {"thud": "fred"}},
        ),
        ({"foo": ["a", "b", "c"]}, [{"op": "move", "from": "/foo/0", "path": "/foo/2"}], {"foo": ["b", "c", "a"]}),
        ({"a": {"b": [1]}}, [{"op": "copy", "from": "/a/b", "path": "/c"}], {"a": {"b": [1]}, "c": [1]}),
        ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
        ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["x"]}], {"foo": ["bar", ["x"]]}),
        ({"foo": "bar"}, [{"op": "replace", "path": "", "value": {"a": 1}}], {"a": 1}),
    ],
)
def test_json_patch(document: Any, operations: Any, patched: Any) -> None:
    assert json_patch(document, operations) == patched


@pytest.mark.parametrize(
    ("operations", "code"),
    [
        ({"op": "add"}, 400),
        ([{"op": "add", "path": "/a"}], 400),
        ([{"op": "add", "path": "a", "value": 1}], 400),
        ([{"op": "sing", "path": "/a"}], 400),
        ([{"op": "remove", "path": "/none"}], 422),
        ([{"op": "replace", "path": "/list/7", "value": 1}], 422),
        ([{"op": "add", "path": "/list/7", "value": 1}], 422),
        ([{"op": "add", "path": "/list/01", "value": 1}], 422),
        ([{"op": "add", "path": "/a/b/c", "value": 1}], 422),
        ([{"op": "test", "path": "/a", "value": True}], 422),
        ([{"op": "move", "from": "/list", "path": "/list/0"}], 422),
        ([{"op": "remove", "path": ""}], 422),
        ([{"op": "replace", "path": "", "value": []}], 422),
    ],
)
def test_json_patches_that_fail_leave_the_object_alone(operations: Any, code: int) -> None:
    document = {"a": 1, "list": [1, 2]}
    with pytest.raises(ApiError) as caught:
        json_patch(document, operations)
    assert caught.value.code == code
    assert document == {"a": 1, "list": [1, 2]}


@pytest.mark.parametrize(
    ("target", "patch", "patched"),
    [  # RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch(target: Any, patch: Any, patched: Any) -> None:
    assert merge_patch(target, patch) == patched


values = st.recursive(
    st.integers() | st.text(max_size=3) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


@given(objects, objects)
def test_merge_patch_is_idempotent_and_a_patch_without_nulls_is_in_the_result(target: Any, patch: Any) -> None:
    patched = merge_patch(target, patch)
    assert merge_patch(patched, patch) == patched
    assert merge_patch({}, patch) == merge_patch(patch, patch)


SERVICE = schema_of(SERVICES)
PORTS = [{"name": "a", "port": 1, "nodePort": 30000}, {"name": "b", "port": 2}]


def merged_spec(spec: Any, patch: Any) -> Any:
    return strategic_merge({"spec": spec}, {"spec": patch}, SERVICE)["spec"]


@pytest.mark.parametrize(
    ("spec", "patch", "patched"),
    [
        ({"ports": PORTS}, {"ports": [{"port": 2, "name": "c"}]}, {"ports": [PORTS[0], {"name": "c", "port": 2}]}),
        ({"ports": PORTS}, {"ports": [{"port": 3}]}, {"ports": [*PORTS, {"port": 3}]}),
        ({"ports": PORTS}, {"ports": [{"port": 1, "$patch": "delete"}]}, {"ports": [PORTS[1]]}),
        ({"ports": PORTS}, {"ports": [{"$patch": "replace"}, {"port": 9}]}, {"ports": [{"port": 9}]}),
        ({"ports": PORTS}, {"ports": [{"port": 1, "nodePort": None}]}, {"ports": [{"name": "a", "port": 1}, PORTS[1]]}),
        (
            {"ports": PORTS},
            {"ports": [{"port": 3}], "$setElementOrder/ports": [{"port": 3}, {"port": 2}, {"port": 1}]},
            {"ports": [{"port": 3}, PORTS[1], PORTS[0]]},
        ),
        ({"externalIPs": ["192.0.2.1"]}, {"externalIPs": ["192.0.2.2"]}, {"externalIPs": ["192.0.2.2"]}),
        ({"selector": {"a": "b", "c": "d"}}, {"selector": {"a": None, "e": "f"}}, {"selector": {"c": "d", "e": "f"}}),
        ({"selector": {"a": "b"}}, {"selector": {"$patch": "replace", "c": "d"}}, {"selector": {"c": "d"}}),
        ({"selector": {"a": "b"}, "type": "x"}, {"selector": {"$patch": "delete"}}, {"type": "x"}),
        (
            {"clusterIP": "x", "type": "ClusterIP"},
            {"$retainKeys": ["type"], "type": "ExternalName"},
            {"type": "ExternalName"},
        ),
    ],
)
def test_strategic_merge(spec: Any, patch: Any, patched: Any) -> None:
    assert merged_spec(spec, patch) == patched


def test_strategic_merge_of_primitive_lists() -> None:
    node = {"metadata": {"finalizers": ["a", "b"]}}
    patch = {"metadata": {"finalizers": ["c", "a"], "$deleteFromPrimitiveList/finalizers": ["b"]}}
    assert strategic_merge(node, patch, schema_of(NODES)) == {"metadata": {"finalizers": ["a", "c"]}}


@pytest.mark.parametrize(
    "patch", [[], {"spec": {"ports": [{"name": "a"}]}}, {"spec": {"$patch": "shred"}}, {"spec": {"ports": ["a"]}}]
)
def test_strategic_merge_patches_that_make_no_sense(patch: Any) -> None:
    with pytest.raises(ApiError) as caught:
        strategic_merge({"spec": {"ports": PORTS}}, patch, SERVICE)
    assert caught.value.code == 400
