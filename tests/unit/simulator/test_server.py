import pytest

from streamforge_core.errors import ConfigError
from streamforge_core.simulator.server import clock_of
from streamforge_core.transport.clock import AcceleratedClock, SystemClock
from tests.support.simulated import at


def test_by_default_the_simulator_lives_in_the_present() -> None:
    assert isinstance(clock_of(1, None), SystemClock)


def test_a_start_and_a_speed_make_an_accelerated_clock() -> None:
    clock = clock_of(60, "2024-01-01")

    assert isinstance(clock, AcceleratedClock)
    assert (clock.speed, clock.simulated_ms) == (60, at("2024-01-01"))


def test_a_speed_alone_begins_now() -> None:
    clock = clock_of(2, None)

    assert isinstance(clock, AcceleratedClock)
    assert clock.simulated_ms == clock.real_ms


@pytest.mark.parametrize(
    ("speed", "start", "text"),
    [(0, None, "does not move"), (-1, None, "does not move"), (1, "soon", "no date")],
)
def test_an_impossible_clock_is_refused(speed: float, start: str | None, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        clock_of(speed, start)
