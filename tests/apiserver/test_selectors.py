import pytest

from kproxy.apiserver import Store
from kproxy.apiserver.errors import ApiError
from kproxy.apiserver.resources import NODES, SERVICES
from kproxy.apiserver.selectors import Selection, parse_field_selector, parse_label_selector
from tests.apiserver.builders import service


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ("", {}, True),
        ("a=1", {"a": "1"}, True),
        ("a==1", {"a": "2"}, False),
        ("a=1", {}, False),
        ("a=", {"a": ""}, True),
        ("a!=1", {}, True),
        ("a!=1", {"a": "1"}, False),
        ("a", {"a": ""}, True),
        ("!a", {"a": ""}, False),
        ("!a", {}, True),
        ("a in (1, 2)", {"a": "2"}, True),
        ("a in (1,2)", {"a": "3"}, False),
        ("a in (,x)", {"a": ""}, True),
        ("a notin (1,2)", {}, True),
        ("a notin (1,2)", {"a": "1"}, False),
        ("a>1", {"a": "2"}, True),
        ("a<1", {"a": "2"}, False),
        ("a>1", {"a": "many"}, False),
        ("a=1,!b,c in (x)", {"a": "1", "c": "x"}, True),
        ("a=1,!b,c in (x)", {"a": "1", "b": "", "c": "x"}, False),
        ("in in (notin)", {"in": "notin"}, True),
        (
            "!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name",
            {"service.kubernetes.io/headless": ""},
            False,
        ),
    ],
)
def test_label_selectors(text: str, labels: dict[str, str], matches: bool) -> None:
    assert all(requirement.matches(labels) for requirement in parse_label_selector(text)) is matches


@pytest.mark.parametrize(
    "text", ["a=1,", ",a", "a in", "a in (", "a in (1", "a b", "=1", "!", "a===b", "a>x", "-a", "a=b c"]
)
def test_texts_that_are_no_label_selector(text: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_label_selector(text)
    assert caught.value.code == 400


def selected(store: Store, text: str, namespace: str = "") -> list[str]:
    selection = Selection(namespace, fields=parse_field_selector(text, SERVICES))
    return sorted(f"{obj.namespace}/{obj.name}" for obj in store.collection(SERVICES) if selection.matches(obj))


def test_field_selectors(store: Store) -> None:
    store.apply(service("a"))
    store.apply(service("b", type="NodePort"))
    store.apply(service("a", namespace="shop"))
    assert selected(store, "metadata.name=a") == ["default/a", "shop/a"]
    assert selected(store, "metadata.name==a", "shop") == ["shop/a"]
    assert selected(store, "metadata.namespace!=shop,spec.type=ClusterIP") == ["default/a"]
    assert selected(store, "spec.type!=ClusterIP") == ["default/b"]
    assert selected(store, "") == ["default/a", "default/b", "shop/a"]


def test_fields_that_cannot_be_selected_by() -> None:
    with pytest.raises(ApiError, match="field label not supported"):
        parse_field_selector("spec.type=x", NODES)
    with pytest.raises(ApiError, match="can't understand"):
        parse_field_selector("metadata.name", NODES)
