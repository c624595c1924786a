"""When a real server that has to go may go."""

from kproxy.backends.ipvs.draining import LONGEST_SECONDS, Draining
from kproxy.kernel.ipvs.protocol import RealServer, ServerSettings
from tests.ipvs.kernel_state import at, tcp

KEY, ONE, TWO = tcp("10.96.0.10", 80), at("10.244.1.1", 8080), at("10.244.1.2", 8080)


def draining() -> Draining:
    made = Draining()
    assert made.begin(KEY, ONE, 100) == 100 + LONGEST_SECONDS
    return made


def test_it_stays_as_long_as_it_has_connections() -> None:
    assert list(draining().finished(KEY, [RealServer(ONE, 0, 1)], 200)) == []
    assert list(draining().finished(KEY, [RealServer(ONE, 0, 0)], 200)) == [ONE]


def test_it_stays_for_a_quarter_of_an_hour_at_most() -> None:
    assert list(draining().finished(KEY, [RealServer(ONE, 0, 1)], 100 + LONGEST_SECONDS)) == [ONE]


def test_it_is_finished_when_somebody_else_has_deleted_it() -> None:
    assert list(draining().finished(KEY, [RealServer(TWO, 1, 5)], 200)) == [ONE]


def test_it_does_not_begin_anew() -> None:
    made = draining()
    made.begin(KEY, ONE, 500)
    assert list(made.finished(KEY, [RealServer(ONE, 0, 1)], 100 + LONGEST_SECONDS)) == [ONE]


def test_it_ends_when_wanted_again() -> None:
    made = draining()
    assert made.end(KEY, ONE)
    assert not made.end(KEY, ONE)
    assert len(made) == 0
    assert made.servers() == ()


def test_only_tcp_drains() -> None:
    assert Draining.applies_to(KEY, ServerSettings("rr"))
    assert not Draining.applies_to(KEY._replace(protocol=17), ServerSettings("rr"))


def test_a_deadline_of_another_process_is_kept_unless_it_cannot_be_one() -> None:
    made = Draining()
    assert made.resume(KEY, ONE, 500, 100)
    assert made.begin(KEY, ONE, 200) == 500
    for strange in (0, 100 + LONGEST_SECONDS + 1):
        assert not made.resume(KEY, TWO, strange, 100)
    assert (KEY, TWO) not in made
