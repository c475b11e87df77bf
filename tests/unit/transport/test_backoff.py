from hypothesis import given
from hypothesis import strategies as st

from streamforge_core.transport.backoff import Backoff


def without_jitter(first_s: float, cap_s: float) -> Backoff:
    return Backoff(first_s=first_s, cap_s=cap_s, draw=lambda: 0.0)


def test_the_delay_doubles_with_every_failure_in_a_row() -> None:
    backoff = without_jitter(first_s=1.5, cap_s=45.0)

    assert [backoff.delay_s(failures) for failures in (1, 2, 3, 4, 5)] == [1.5, 3, 6, 12, 24]


def test_the_delay_never_exceeds_its_cap_and_never_gives_up() -> None:
    backoff = without_jitter(first_s=1.5, cap_s=45.0)

    assert [backoff.delay_s(failures) for failures in (6, 7, 1_000, 10**9)] == [45.0] * 4


def test_jitter_takes_off_up_to_a_half() -> None:
    draws = iter([0.0, 0.5, 1.0])
    backoff = Backoff(first_s=8.0, cap_s=45.0, draw=lambda: next(draws))

    assert [backoff.delay_s(1) for _ in range(3)] == [8.0, 6.0, 4.0]


def test_no_failure_waits_as_long_as_the_first() -> None:
    assert without_jitter(first_s=1.0, cap_s=9.0).delay_s(0) == 1.0


@given(st.integers(1, 10**6), st.floats(0, 1, exclude_max=True))
def test_every_delay_lies_between_half_the_first_and_the_cap(failures: int, draw: float) -> None:
    backoff = Backoff(first_s=1.0, cap_s=60.0, draw=lambda: draw)

    assert 0.5 <= backoff.delay_s(failures) <= 60.0
