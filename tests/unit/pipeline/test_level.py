from streamforge_core.model.kline import Series
from streamforge_core.pipeline.cascade import cascade
from streamforge_core.pipeline.level import Level, levels_of
from tests.support.builders import MINUTE, SERIES, START, ts


def some_levels(*targets: str) -> dict[str, Level]:
    levels = levels_of(SERIES, tuple(cascade("1m", targets)))
    return {level.series.timeframe: level for level in levels}


def test_levels_are_linked_as_the_cascade_says() -> None:
    levels = some_levels("3m", "5m", "15m")

    assert levels["15m"].child is levels["5m"]
    assert levels["5m"].child is None
    assert levels["5m"].parents == [levels["15m"]]
    assert levels["15m"].part_length == 5 * MINUTE
    assert levels["15m"].series == Series("Binance", "BTCUSDT", "15m")


def test_beginning_a_bucket_begins_those_that_will_hold_it() -> None:
    levels = some_levels("5m", "1h")

    levels["5m"].holding(START + 7 * MINUTE)

    (hour,) = levels["1h"].waiting()
    assert (hour.open_ts, hour.end_ts, hour.full.bit_length()) == (START, START + 3_599_999, 12)


def test_a_newer_bucket_sets_the_running_one_aside_and_an_older_one_does_not() -> None:
    level = some_levels("5m")["5m"]

    first = level.holding(START + 5 * MINUTE)
    second = level.holding(START + 10 * MINUTE)
    oldest = level.holding(START)

    assert level.current is second
    assert list(level.waiting()) == [first, oldest, second]
    assert level.holding(START + 9 * MINUTE) is first


def test_a_finished_bucket_is_not_begun_again() -> None:
    level = some_levels("5m")["5m"]
    old, new = level.holding(START), level.holding(START + 5 * MINUTE)
    assert old is not None
    assert new is not None

    level.finish(new)
    level.finish(old)

    assert (level.is_waiting(old), level.is_waiting(new)) == (False, False)
    assert level.holding(START + 4 * MINUTE) is None
    assert level.holding(START + 5 * MINUTE) is None
    assert level.holding(START + 10 * MINUTE) is not None


def test_unfinished_buckets_are_found_under_the_one_that_will_hold_them() -> None:
    levels = some_levels("5m", "15m")
    begun = [levels["5m"].holding(START + minute * MINUTE) for minute in (0, 10, 15)]

    (quarter, _) = levels["15m"].waiting()

    assert list(levels["5m"].unfinished(quarter, 5 * MINUTE)) == begun[:2]


def test_the_current_bucket_is_unfinished_too() -> None:
    levels = some_levels("5m", "15m")
    begun = levels["5m"].holding(START)

    (quarter,) = levels["15m"].waiting()

    assert list(levels["5m"].unfinished(quarter, 5 * MINUTE)) == [begun]


def test_weeks_open_on_monday_and_months_on_the_first() -> None:
    levels = some_levels("1d", "1w", "1M")

    assert levels["1w"].open_of(ts("2023-03-24 12:00")) == ts("2023-03-20")
    assert levels["1M"].open_of(ts("2023-03-24 12:00")) == ts("2023-03-01")
    assert levels["1M"].end_of(ts("2024-02-10")) == ts("2024-03-01") - 1
