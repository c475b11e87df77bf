import pytest

from streamforge_core.pipeline.runs import MOST_RUNS, Runs
from tests.support.builders import MINUTE, START, ts


def a_set(*minutes: int) -> Runs:
    runs = Runs("1m")
    for minute in minutes:
        runs.add(START + minute * MINUTE)
    return runs


def minutes_in(runs: Runs) -> list[int]:
    return [minute for minute in range(-2, 20) if START + minute * MINUTE in runs]


@pytest.mark.parametrize(
    "order",
    [(0, 1, 2, 5, 6, 9), (9, 6, 5, 2, 1, 0), (5, 9, 0, 2, 1, 6), (1, 0, 6, 5, 9, 2)],
)
def test_what_was_added_is_inside_in_whatever_order(order: tuple[int, ...]) -> None:
    assert minutes_in(a_set(*order)) == [0, 1, 2, 5, 6, 9]


def test_a_late_open_joins_the_runs_on_both_sides() -> None:
    assert minutes_in(a_set(0, 1, 3, 4, 2)) == [0, 1, 2, 3, 4]


def test_an_instant_between_two_opens_of_a_run_counts_as_inside() -> None:
    assert START + 30_000 in a_set(0, 1)


def test_the_newest_open_is_known() -> None:
    assert Runs("1m").last() is None
    assert a_set(3, 1).last() == START + 3 * MINUTE


def test_months_follow_one_another_by_the_calendar() -> None:
    runs = Runs("1M")
    for text in ("2024-01-01", "2024-02-01", "2024-04-01"):
        runs.add(ts(text))

    assert ts("2024-02-01") in runs
    assert ts("2024-03-01") not in runs


def test_too_many_runs_are_merged_from_the_oldest_so_that_memory_stays_bounded() -> None:
    runs = a_set(*range(0, 2 * MOST_RUNS + 2, 2))

    assert START + MINUTE in runs
    assert START + 3 * MINUTE not in runs
    assert runs.last() == START + 2 * MOST_RUNS * MINUTE
