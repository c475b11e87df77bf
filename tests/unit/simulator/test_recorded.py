import pytest

from streamforge_core.simulator.feeds import newest, oldest
from streamforge_core.simulator.recorded import RecordedFeed, RecordedSpan, parsed
from tests.support.market_data import market_data
from tests.support.simulated import at

DAY = 86_400_000
MINUTE = 60_000
NEW_YEAR = at("2024-01-01")
LATER = at("2024-06-01")


def line(minute: int, ohlc: str, volume: str = "1", trades: int = 1, cut_ms: int = 0) -> str:
    open_ms = NEW_YEAR + minute * MINUTE
    close_ms = open_ms + (cut_ms or MINUTE) - 1
    return f"{open_ms},{ohlc.replace(' ', ',')},{volume},{close_ms},{volume}0,{trades},0.5,0.2,0\n"


FLAT = "5.0 5.0 5.0 5.0"


def a_feed(*lines: str, start: int = NEW_YEAR) -> RecordedFeed:
    return RecordedFeed("FOOUSDT", "1m", [RecordedSpan(start, start + DAY, lambda: "".join(lines))])


def real(*days: str) -> RecordedFeed:
    folder = market_data("binance_spot_daily")
    spans = [
        RecordedSpan(at(day), at(day) + DAY, (folder / f"BTCUSDT-1m-{day}.csv").read_text)
        for day in days
    ]
    return RecordedFeed("BTCUSDT", "1m", spans)


def test_rows_are_repeated_as_they_were_printed() -> None:
    row = next(parsed(line(3, "1.50 2.5 0.5 1.0", "10.250", 7)))

    assert row.open_ms == NEW_YEAR + 3 * MINUTE
    assert row[1:6] == ("1.50", "2.5", "0.5", "1.0", "10.250")
    assert row[6:11] == (NEW_YEAR + 4 * MINUTE - 1, "10.2500", 7, "0.5", "0.2")
    assert row.last_id - row.first_id == 6


def test_microseconds_become_milliseconds_and_a_header_is_left_out() -> None:
    text = (
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,a,b,ignore\n"
        "1735689600000000,1,1,1,1,2,1735689659999999,2,3,1,1,0\n"
    )

    (row,) = parsed(text)

    assert (row.open_ms, row.close_ms) == (1735689600000, 1735689659999)


def test_a_row_without_trades_has_no_trade_ids() -> None:
    (row,) = parsed(line(0, FLAT, "0.0", 0))

    assert (row.first_id, row.last_id) == (-1, -1)


def test_only_traded_parts_count_in_a_candle() -> None:
    # The quiet minute at the old price is neither the open nor the low.
    feed = a_feed(
        line(0, FLAT, "0.0", 0),
        line(1, "6.0 9.0 6.0 7.0", "2.5", 4),
        line(2, "7.0 8.0 6.5 8.0", "0.1", 2),
    )

    (row,) = feed.rows("3m", NEW_YEAR, LATER, LATER)

    assert row[1:6] == ("6.0", "9.0", "6.0", "8.0", "2.60000000")
    assert (row.trades, row.quote_volume, row.taker_volume) == (6, "2.60000000", "1.50000000")
    assert row.close_ms == NEW_YEAR + 3 * MINUTE - 1


def test_a_candle_of_quiet_parts_is_flat() -> None:
    (row,) = a_feed(line(0, FLAT, "0.0", 0), line(1, FLAT, "0.0", 0)).rows(
        "3m", NEW_YEAR, LATER, LATER
    )

    assert row[1:6] == ("5.0", "5.0", "5.0", "5.0", "0.00000000")
    assert (row.trades, row.first_id) == (0, -1)


def test_a_candle_whose_last_parts_are_missing_ends_with_the_last_one() -> None:
    feed = a_feed(line(0, FLAT), line(1, FLAT, cut_ms=12_000), line(6, FLAT))

    first, second = feed.rows("5m", NEW_YEAR, LATER, LATER)

    assert first.close_ms == NEW_YEAR + MINUTE + 11_999
    assert first.is_cut("5m")
    assert second.open_ms == NEW_YEAR + 5 * MINUTE


def test_the_running_row_shows_its_open_alone() -> None:
    feed = a_feed(line(0, "1.0 3.0 0.5 2.0", "4", 2), line(1, "6.0 9.0 6.0 7.0", "2.5", 4))
    now = NEW_YEAR + 90_000

    complete, running = feed.rows("1m", NEW_YEAR, LATER, now)
    (hour,) = feed.rows("1h", NEW_YEAR, LATER, now)

    assert complete.close == "2.0"
    assert running[1:6] == ("6.0", "6.0", "6.0", "6.0", "0.00000000")
    assert running.close_ms == NEW_YEAR + 2 * MINUTE - 1
    assert hour[1:6] == ("1.0", "3.0", "0.5", "2.0", "4.00000000")
    assert hour.close_ms == NEW_YEAR + 60 * MINUTE - 1


def test_a_candle_whose_first_part_is_still_to_come_does_not_exist_yet() -> None:
    feed = a_feed(line(3, FLAT))

    assert feed.rows("1h", NEW_YEAR, LATER, NEW_YEAR + MINUTE) == []
    assert len(feed.rows("1h", NEW_YEAR, LATER, NEW_YEAR + 3 * MINUTE)) == 1


def test_smaller_timeframes_than_the_files_have_nothing() -> None:
    assert a_feed(line(0, FLAT)).rows("1s", NEW_YEAR, LATER, LATER) == []


def test_a_symbol_is_listed_with_its_first_row() -> None:
    feed = a_feed(line(5, "5.05 5.05 5.05 5.05", "0.125"))

    assert feed.status(NEW_YEAR) is None
    assert feed.status(NEW_YEAR + 5 * MINUTE) == "TRADING"
    assert (feed.base, feed.quote, feed.tick, feed.step) == (
        *("FOO", "USDT", "0.01000000", "0.00100000"),
    )


def test_trading_time_is_what_rows_cover() -> None:
    feed = a_feed(line(0, FLAT), line(1, FLAT, cut_ms=12_000), line(4, FLAT))
    cut, resumed = NEW_YEAR + MINUTE + 11_999, NEW_YEAR + 4 * MINUTE

    assert feed.is_up(cut)
    assert not feed.is_up(cut + 1)
    assert feed.live_from(cut + 1) == resumed
    assert feed.live_until(resumed - 1) == cut
    assert feed.live_from(resumed + MINUTE) is None
    assert feed.live_until(NEW_YEAR - 1) is None
    assert feed.live_until(LATER) == resumed + MINUTE - 1


def test_a_file_of_a_day_counts_more_than_that_of_its_month() -> None:
    month = RecordedSpan(NEW_YEAR, at("2024-02-01"), lambda: line(0, FLAT) + line(1440, "6 6 6 6"))
    day = RecordedSpan(NEW_YEAR, NEW_YEAR + DAY, lambda: line(0, "9 9 9 9"))

    rows = RecordedFeed("FOOUSDT", "1m", [day, month]).rows("1m", NEW_YEAR, LATER, LATER)

    assert [row.open for row in rows] == ["9", "6"]


def test_many_files_are_read_again_rather_than_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamforge_core.simulator.recorded._FILES_CACHED", 1)
    reads: list[int] = []

    def reader(day: int) -> str:
        reads.append(day)
        return line(day * 1440, FLAT)

    spans = [
        RecordedSpan(NEW_YEAR + day * DAY, NEW_YEAR + (day + 1) * DAY, lambda day=day: reader(day))  # type: ignore[misc]  # mypy does not type a lambda's default
        for day in (0, 1)
    ]
    feed = RecordedFeed("FOOUSDT", "1m", spans)

    assert len(feed.rows("1m", NEW_YEAR, LATER, LATER)) == 2
    assert reads == [0, 1]
    assert len(feed.rows("1m", NEW_YEAR, NEW_YEAR + DAY, LATER)) == 1
    assert reads == [0, 1, 0]


def test_the_real_day_with_an_outage_is_repeated_with_its_hole() -> None:
    feed = real("2023-03-24")
    day = at("2023-03-24")

    rows = feed.rows("1m", day, day + DAY, LATER)

    assert len(rows) == 1360
    missing = {day + i * MINUTE for i in range(1440)} - {row.open_ms for row in rows}
    assert min(missing) == at("2023-03-24T12:40")
    assert max(missing) == at("2023-03-24T13:59")
    assert feed.live_until(at("2023-03-24T13:00")) == at("2023-03-24T12:39:41.646")


def test_the_real_hours_around_the_outage_are_those_worked_out_by_hand() -> None:
    feed = real("2023-03-24")

    rows = feed.rows("1h", at("2023-03-24T11:00"), at("2023-03-24T15:00"), LATER)

    eleven, twelve, fourteen = rows
    assert eleven[1:6] == (
        *("28039.71000000", "28091.03000000", "27963.84000000", "28080.00000000"),
        "1267.41714000",
    )
    assert eleven.trades == 25_083
    assert (twelve.close, twelve.volume) == ("28080.00000000", "0.00000000")
    assert fourteen.open_ms == at("2023-03-24T14:00")
    assert (fourteen.volume, fourteen.trades) == ("8983.24018000", 144_497)


def test_pages_reach_over_years_without_files() -> None:
    feed = real("2018-02-11", "2023-03-23", "2024-12-31")

    forward = oldest(feed, "1m", at("2018-02-11T23:59"), LATER, LATER, limit=2)
    backward = newest(feed, "1d", at("2025-01-01"), at("2025-01-01"), limit=3)

    assert [row.open_ms for row in forward] == [at("2018-02-11T23:59"), at("2023-03-23")]
    assert [row.open_ms for row in backward] == [
        *(at("2018-02-11"), at("2023-03-23"), at("2024-12-31")),
    ]
