import logging

import pytest

from streamforge_core.model.kline import Record, Series
from streamforge_core.runners.flow import Flow
from tests.support.builders import MINUTE, SERIES, START, a_candle, a_record

HOURLY = Series("Binance", "BTCUSDT", "1h")


def a_flow(*targets: str, emit_open: bool = False) -> Flow:
    return Flow({SERIES: list(targets)}, emit_open=emit_open)


def told(ready: list[Record]) -> list[tuple[str, int]]:
    return [(record.timeframe, (record.open_ts - START) // MINUTE) for record in ready]


def taken(flow: Flow, *records: Record) -> list[tuple[str, int]]:
    return told([ready for record in records for ready in flow.take(record)])


def test_a_closed_candle_goes_on_once() -> None:
    flow = a_flow()

    assert taken(flow, a_record(0), a_record(0), a_record(1)) == [("1m", 0), ("1m", 1)]
    assert flow.counts.duplicates == 1
    assert flow.last_closed(SERIES) == START + MINUTE


def test_a_forming_candle_goes_on_only_when_asked_for_and_is_never_folded() -> None:
    forming = a_record(4, is_closed=False)
    minutes = [a_record(index) for index in range(4)]

    assert taken(a_flow("5m"), *minutes, forming) == [("1m", n) for n in range(4)]
    assert taken(a_flow("5m", emit_open=True), *minutes, forming) == [("1m", n) for n in range(5)]


def test_higher_candles_come_after_the_base_candle_that_completes_them() -> None:
    flow = a_flow("15m", "5m")

    ready = taken(flow, *(a_record(index) for index in range(15)))

    assert ready[4:7] == [("1m", 4), ("5m", 0), ("1m", 5)]
    assert ready[-3:] == [("1m", 14), ("5m", 10), ("15m", 0)]


def test_a_series_without_targets_is_passed_through_beside_one_with() -> None:
    flow = Flow({SERIES: ["5m"], HOURLY: []})

    assert taken(flow, Record.from_kline(a_candle(START, "1h"))) == [("1h", 0)]


def test_a_gap_is_told_once_and_withholds_the_candles_over_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    flow = a_flow("5m")

    ready = taken(flow, *(a_record(index) for index in (0, 1, 3, 4, 5, 6, 7, 8, 9)))

    assert [one for one in ready if one[0] == "5m"] == [("5m", 5)]
    assert flow.counts.missing == 1
    assert [record.getMessage() for record in caplog.records] == [
        "Binance BTCUSDT 1m: 1 candles are missing, 2024-01-15T00:02:00Z to "
        "2024-01-15T00:02:00Z; higher candles over them are withheld"
    ]


def test_a_late_candle_is_told_and_completes_what_it_held_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "streamforge_core")
    flow = a_flow("5m")
    taken(flow, *(a_record(index) for index in (0, 1, 3, 4, 5)))

    assert taken(flow, a_record(2)) == [("1m", 2), ("5m", 0)]
    assert flow.counts.late == 1
    assert "the candle of 2024-01-15T00:02:00Z came late" in caplog.text


def test_a_correction_of_a_candle_that_was_folded_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    flow = a_flow("5m")
    taken(flow, *(a_record(index) for index in range(5)))

    (corrected,) = flow.take(a_record(4, close=101.0, high=101.0))

    assert (corrected.close, corrected.revision) == (101.0, 1)
    assert flow.stale == 1
    assert "Binance BTCUSDT 5m: the candle that opens at 2024-01-15 was emitted" in caplog.text


def test_an_interruption_forgets_forming_candles_alone() -> None:
    flow = a_flow()
    taken(flow, a_record(0), a_record(1, is_closed=False))

    flow.interrupted([SERIES])

    assert flow.last_closed(SERIES) == START
    assert taken(flow, a_record(0), a_record(1)) == [("1m", 1)]
