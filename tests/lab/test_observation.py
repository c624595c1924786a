"""Which requests an observer sends, and when it takes a row to hold."""

import pytest

from kproxy.lab.expectation import Expectation, Target, answered
from kproxy.lab.lab import Lab
from kproxy.lab.observation import Observer, render

from .nft import PREROUTING, load_table

pytestmark = pytest.mark.root

TARGET = Target("pod-x", "10.96.0.1", 8080, "TCP")
A, B = "10.244.1.10", "10.244.1.11"


def expect(*pods: str, sticky: bool = True) -> dict[Target, Expectation]:
    return {TARGET: answered("pod-x", 4, {"own": pods}, sticky=sticky)}


@pytest.fixture
def observer(lab: Lab) -> Observer:
    return Observer(lab, tcp6_rejections=True, fewest_tries=8)


def translate(lab: Lab, to: str) -> None:
    load_table(lab.namespace("node"), "ip", (PREROUTING, f"ip daddr 10.96.0.1 dnat to {to}"))


async def test_a_client_that_is_to_stay_is_held_to_the_pod_it_had(lab: Lab, observer: Observer) -> None:
    translate(lab, A)
    assert not await observer.differences(expect("pod-a", "pod-b"))
    translate(lab, B)
    (moved,) = await observer.differences(expect("pod-a", "pod-b"))
    assert moved.sample.pods.keys() == {"pod-b"}
    assert "always one of pod-a from 10.244.1.50" in render([moved])
    assert not await observer.differences(expect("pod-b", "pod-c")), "its pod is not expected any more"
    translate(lab, A)
    assert await observer.differences(expect("pod-a", "pod-b")), "and now it is to stay where it is"


async def test_a_client_that_is_to_stay_and_does_not_is_found_out(lab: Lab, observer: Observer) -> None:
    translate(lab, f"numgen inc mod 2 map {{ 0 : {A}, 1 : {B} }}")
    assert await observer.differences(expect("pod-a", "pod-b"))
    assert not await observer.differences(expect("pod-a", "pod-b", sticky=False))


async def test_a_pod_that_never_answers_is_missed(lab: Lab, observer: Observer) -> None:
    translate(lab, A)
    (difference,) = await observer.differences(expect("pod-a", "pod-b", sticky=False))
    assert difference.sample.pods.keys() == {"pod-a"}
