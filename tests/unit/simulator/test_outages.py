from datetime import UTC, datetime

from streamforge_core.simulator.boundaries import DAY_MS, MINUTE_MS, instant
from streamforge_core.simulator.outages import Outage, fixed_outages, weekly_outage, weekly_outages


def test_every_week_has_one_outage_on_its_wednesday() -> None:
    for week in range(2_800, 3_000):
        outage = weekly_outage(week, seed=0)

        start = datetime.fromtimestamp(outage.start_ms / 1000, UTC)
        last = datetime.fromtimestamp((outage.end_ms - 1) / 1000, UTC)
        assert start.strftime("%A") == "Wednesday"
        assert start.date() == last.date()
        assert 19 * MINUTE_MS <= outage.end_ms - outage.start_ms <= 90 * MINUTE_MS
        assert outage.end_ms % MINUTE_MS == 0


def test_about_every_second_outage_begins_inside_a_minute() -> None:
    cuts = [weekly_outage(week, seed=0).start_ms % MINUTE_MS > 0 for week in range(1_000)]

    assert 400 < sum(cuts) < 600


def test_any_seven_days_in_a_row_hold_exactly_one_outage() -> None:
    rule = weekly_outages(seed=3)

    for day in range(20):
        start = instant("2024-02-20") + day * DAY_MS
        assert len(rule(start, start + 7 * DAY_MS)) == 1


def test_outages_differ_from_week_to_week_and_from_seed_to_seed() -> None:
    times = {
        (outage.start_ms % DAY_MS, outage.end_ms - outage.start_ms)
        for outage in (weekly_outage(week, seed) for week in range(20) for seed in range(2))
    }

    assert len(times) == 40


def test_fixed_outages_are_those_that_touch_the_span() -> None:
    rule = fixed_outages([(500, 600), (100, 200)])

    assert rule(0, 1_000) == [Outage(100, 200), Outage(500, 600)]
    assert rule(199, 500) == [Outage(100, 200)]
    assert rule(200, 500) == []
