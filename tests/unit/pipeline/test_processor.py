from collections.abc import Iterable
from typing import Any

import pytest

from streamforge_core.model.gap import Hole
from streamforge_core.model.kline import Record, Series
from streamforge_core.pipeline.processor import Counts, Gap, Late, Processed, Processor
from tests.support.builders import MINUTE, SERIES, START, a_candle, a_record, ts


def told(processed: Iterable[Processed]) -> list[str]:
    """Write "0" for a closed minute, "0+1" for its revision, "0~" forming, "gap 1-2", "late 1"."""
    return [_told(item) for item in processed]


def _minute(open_ts: int) -> int:
    return (open_ts - START) // MINUTE


def _told(item: Processed) -> str:
    if isinstance(item, Gap):
        return f"gap {_minute(item.hole.first_open_ts)}-{_minute(item.hole.last_open_ts)}"
    if isinstance(item, Late):
        return f"late {_minute(item.open_ts)}"
    revision = f"+{item.revision}" if item.revision else ""
    return f"{_minute(item.open_ts)}{'' if item.is_closed else '~'}{revision}"


def fed(processor: Processor, *records: Record) -> list[str]:
    return told(item for record in records for item in processor.process(record))


def closed(minute: int, **values: Any) -> Record:  # noqa: ANN401 - any field
    return a_record(minute, **values)


def forming(minute: int, **values: Any) -> Record:  # noqa: ANN401 - any field
    return a_record(minute, is_closed=False, **values)


# Once each, in order


def test_closed_candles_go_on_as_they_are() -> None:
    record = closed(0, volume=3.0)

    assert Processor().process(record) == [record]


def test_forming_candles_stay_behind_unless_asked_for() -> None:
    assert fed(Processor(), forming(0), closed(0)) == ["0"]
    assert fed(Processor(emit_open=True), forming(0), closed(0)) == ["0~", "0"]


def test_a_candle_told_twice_goes_on_once() -> None:
    processor = Processor()

    assert fed(processor, closed(0), closed(0), closed(1), closed(0)) == ["0", "1"]
    assert processor.counts == Counts(duplicates=2)


def test_series_do_not_know_each_other() -> None:
    processor = Processor()

    out = fed(processor, closed(0), closed(5, symbol="ETHUSDT"), closed(1), closed(0, source="OKX"))

    assert out == ["0", "5", "1", "0"]
    assert processor.counts == Counts()


def test_what_is_known_of_a_series_can_be_asked() -> None:
    processor = Processor()
    assert (processor.last_closed(SERIES), processor.forming(SERIES)) == (None, None)

    update = forming(1)
    fed(processor, closed(0), update)

    assert processor.last_closed(SERIES) == START
    assert processor.next_open(SERIES) == START + MINUTE
    assert processor.forming(SERIES) is update


# Gaps


def test_a_skipped_stretch_is_told_once_before_the_candle_that_skips_it() -> None:
    processor = Processor()

    _, gap, record = [*processor.process(closed(0)), *processor.process(closed(4))]

    assert gap == Gap(SERIES, Hole(START + MINUTE, START + 3 * MINUTE, 3))
    assert told([record]) == ["4"]
    assert processor.counts.missing == 3
    assert fed(processor, closed(5), closed(7)) == ["5", "gap 6-6", "7"]


def test_a_forming_candle_shows_that_the_one_before_it_is_missing() -> None:
    processor = Processor()

    assert fed(processor, closed(0), forming(1), forming(2), forming(2)) == ["0", "gap 1-1"]
    assert fed(processor, closed(2)) == ["2"]


def test_a_candle_that_comes_after_all_is_late_and_goes_on() -> None:
    processor = Processor()

    out = fed(processor, closed(0), closed(3), closed(1, provenance="rest"), closed(2), closed(4))

    assert out == ["0", "gap 1-2", "3", "late 1", "1", "late 2", "2", "4"]
    assert processor.counts == Counts(late=2, missing=2)


def test_the_first_candle_is_no_gap_unless_another_was_expected() -> None:
    assert fed(Processor(), closed(7)) == ["7"]

    processor = Processor()
    processor.expect(SERIES, START + 5 * MINUTE)
    assert fed(processor, closed(7)) == ["gap 5-6", "7"]


def test_a_gap_of_months_is_counted_by_the_calendar() -> None:
    processor = Processor()
    january, may = (
        Record.from_kline(a_candle(ts(text), "1M")) for text in ("2024-01-01", "2024-05-01")
    )

    (_, gap, _) = [*processor.process(january), *processor.process(may)]

    assert isinstance(gap, Gap)
    assert gap.hole == Hole(ts("2024-02-01"), ts("2024-04-01"), 3)


def test_a_candle_off_the_grid_belongs_to_its_interval() -> None:
    processor = Processor()
    shifted = Record.from_kline(a_candle(START + MINUTE + 788))

    assert fed(processor, closed(0), shifted, closed(2)) == ["0", "1", "2"]


def test_a_timeframe_without_documented_grid_is_taken_as_it_comes() -> None:
    processor = Processor()
    length = 3 * 86_400_000
    first, second, fourth = (
        Record.from_kline(a_candle(START + index * length, "3d")) for index in (0, 1, 3)
    )

    out = [item for record in (first, second, fourth) for item in processor.process(record)]

    assert [type(item) for item in out] == [Record, Record, Gap, Record]
    assert isinstance(out[2], Gap)
    assert out[2].hole == Hole(START + 2 * length, START + 2 * length, 1)


# Finality


def test_an_update_never_replaces_a_closed_candle() -> None:
    processor = Processor(emit_open=True)

    assert fed(processor, closed(0, volume=2.0), forming(0, volume=9.0)) == ["0"]
    assert processor.counts == Counts(stale=1)


def test_an_update_of_a_candle_that_was_overtaken_is_dropped() -> None:
    processor = Processor(emit_open=True)

    assert fed(processor, forming(0), forming(1), forming(0)) == ["0~", "gap 0-0", "1~"]
    assert processor.counts == Counts(stale=1, missing=1)


def test_an_update_older_than_the_newest_is_dropped() -> None:
    processor = Processor(emit_open=True)

    out = fed(processor, forming(0, volume=2.0), forming(0, volume=1.0), forming(0, volume=2.0))

    assert out == ["0~", "0~"]
    assert processor.counts.stale == 1


def test_a_changed_value_is_a_revision() -> None:
    processor = Processor()

    out = fed(processor, closed(0), closed(0, volume=2.0), closed(0, volume=3.0), closed(0))

    assert out == ["0", "0+1", "0+2", "0+3"]
    assert processor.counts == Counts(revisions=3)


def test_a_revision_is_a_new_record_and_the_one_received_stays_as_it_was() -> None:
    processor = Processor()
    processor.process(closed(0))
    received = closed(0, volume=2.0, provenance="rest", seen_ts=9)

    (revised,) = processor.process(received)

    assert isinstance(revised, Record)
    assert (revised.volume, revised.provenance, revised.seen_ts) == (2.0, "rest", 9)
    assert (revised.revision, received.revision) == (1, 0)


def test_a_read_with_an_earlier_clock_does_not_undo_a_later_one() -> None:
    processor = Processor()

    assert fed(processor, closed(0, volume=2.0, seen_ts=9), closed(0, seen_ts=8)) == ["0"]
    assert processor.counts == Counts(stale=1)


def test_a_read_that_tells_less_is_no_revision() -> None:
    processor = Processor()
    known = {"quote_volume": 5.0, "vwap": 5.0, "n_trades": 4}

    assert fed(processor, closed(0, **known), closed(0)) == ["0"]
    assert processor.counts == Counts(duplicates=1)


def test_a_revision_keeps_what_was_told_of_the_same_volume() -> None:
    processor = Processor()
    processor.process(closed(0, quote_volume=5.0, n_trades=4))

    (revised,) = processor.process(closed(0, close=101.0))
    assert isinstance(revised, Record)
    assert (revised.quote_volume, revised.vwap, revised.n_trades) == (5.0, None, 4)

    (other,) = processor.process(closed(0, volume=2.0))
    assert isinstance(other, Record)
    assert (other.quote_volume, other.n_trades) == (None, None)


def test_a_drawn_candle_never_replaces_a_real_one() -> None:
    processor = Processor()

    assert fed(processor, closed(0), closed(0, volume=0.0, provenance="filled")) == ["0"]
    assert fed(processor, closed(1, provenance="filled"), closed(1, volume=2.0)) == ["1", "1+1"]


def test_a_candle_whose_values_are_forgotten_goes_on_for_the_store_to_compare() -> None:
    processor = Processor(remember=2)

    out = fed(processor, closed(0), closed(1), closed(2), closed(1), closed(0))

    assert out == ["0", "1", "2", "late 0", "0"]
    assert processor.counts == Counts(duplicates=1, late=1)


# Kraken: a newer candle closes the older


def a_kraken() -> Processor:
    return Processor(closed_by="next_candle")


def test_the_next_candle_closes_the_one_before_with_its_newest_values() -> None:
    processor = a_kraken()
    processor.process(forming(0, volume=1.0))
    processor.process(forming(0, volume=2.0))

    (record,) = processor.process(forming(1))

    assert isinstance(record, Record)
    assert (record.open_ts, record.volume, record.is_closed) == (START, 2.0, True)


def test_of_a_snapshot_all_but_the_last_are_closed() -> None:
    processor = a_kraken()

    assert fed(processor, *map(forming, range(5))) == ["0", "1", "2", "3"]
    assert fed(processor, *map(forming, range(2, 6))) == ["4"]


def test_minutes_without_trades_are_told_as_a_gap() -> None:
    assert fed(a_kraken(), forming(0), forming(3)) == ["0", "gap 1-2"]


def test_a_row_read_by_rest_closes_what_nothing_newer_does() -> None:
    processor = a_kraken()

    out = fed(processor, forming(0), closed(0, provenance="rest"), forming(1), forming(2))

    assert out == ["0", "1"]


def test_a_newer_row_read_by_rest_closes_the_older_update() -> None:
    assert fed(a_kraken(), forming(0), closed(1, provenance="rest")) == ["0", "1"]


def test_an_older_row_read_by_rest_leaves_the_newest_update_forming() -> None:
    processor = a_kraken()
    processor.expect(SERIES, START)

    assert fed(processor, forming(2), closed(0), closed(1)) == [
        "gap 0-1",
        "late 0",
        "0",
        "late 1",
        "1",
    ]
    assert processor.forming(SERIES) is not None


def test_a_half_built_candle_is_not_closed_after_an_interruption() -> None:
    processor = a_kraken()
    fed(processor, forming(0), forming(1))

    processor.interrupted()

    assert fed(processor, forming(9)) == ["gap 1-8"]


def test_an_interruption_may_concern_some_series_only() -> None:
    processor = a_kraken()
    other = Series("Binance", "ETHUSDT", "1m")
    fed(processor, forming(0), forming(0, symbol="ETHUSDT"))

    processor.interrupted([other])

    assert fed(processor, forming(1), forming(1, symbol="ETHUSDT")) == ["0", "gap 0-0"]


def test_a_candle_told_again_after_an_interruption_is_closed_by_its_successor() -> None:
    processor = a_kraken()
    fed(processor, forming(0), forming(1, volume=1.0))
    processor.interrupted()

    (record,) = [
        *processor.process(forming(1, volume=5.0)),
        *processor.process(forming(2)),
    ]

    assert isinstance(record, Record)
    assert (record.open_ts, record.volume) == (START + MINUTE, 5.0)


@pytest.mark.parametrize(("volume", "expected"), [(9.0, ["0+1"]), (2.0, []), (1.0, [])])
def test_a_late_update_revises_a_closed_candle_only_if_more_was_traded(
    volume: float, expected: list[str]
) -> None:
    processor = a_kraken()
    fed(processor, forming(0, volume=2.0), forming(1))

    assert fed(processor, forming(0, volume=volume)) == expected


def test_an_update_for_a_candle_that_was_skipped_counts_as_closed() -> None:
    assert fed(a_kraken(), forming(0), forming(2), forming(1)) == ["0", "gap 1-1", "late 1", "1"]


def test_an_update_for_a_forgotten_candle_is_dropped() -> None:
    processor = Processor(closed_by="next_candle", remember=1)

    assert fed(processor, *map(forming, range(4)), forming(0, volume=9.0)) == ["0", "1", "2"]
    assert processor.counts == Counts(stale=1)
