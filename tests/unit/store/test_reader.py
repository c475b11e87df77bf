import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamforge_core.emitters.parquet import ParquetEmitter
from streamforge_core.errors import ConfigError, EmitterError, MissingExtra
from streamforge_core.model.columns import KLINE_SCHEMA, RECORD_SCHEMA, instants, records_to_table
from streamforge_core.model.coverage import ArchiveEntry, BoundsEntry, Entry, HoleEntry
from streamforge_core.model.gap import Evidence, Hole
from streamforge_core.model.kline import Record, Series
from streamforge_core.model.partition import coverage_path, partition_path
from streamforge_core.store import SeriesCoverage, Store
from streamforge_core.store.reader import When
from tests.support.builders import (
    MINUTE,
    SERIES,
    START,
    a_candle,
    a_hole,
    a_record,
    ts,
)
from tests.support.market_data import binance_day

KEY: dict[str, Any] = {"source": "Binance", "symbol": "BTCUSDT", "timeframe": "1m"}
DAY = 1_440


def stored(path: Path, rows: Sequence[Record], entries: Sequence[Entry] = ()) -> Store:
    with ParquetEmitter(path) as emitter:
        emitter.emit_records(rows)
        emitter.record_holes(SERIES, entries)
    return Store(path)


def minutes(table: pa.Table) -> list[int]:
    """Return a table's opens in minutes after START."""
    return [(open_ts - START) // MINUTE for open_ts in instants(table).tolist()]


def as_month(path: Path, *rows: Record) -> None:
    """Write rows as a month-compacted file, as an explicit compaction would."""
    file = path / partition_path(SERIES, "2024-01")
    file.parent.mkdir(parents=True)
    pq.write_table(records_to_table(rows), file)


# --- Rows ---


def test_rows_come_back_as_they_went_in_ascending_across_days(tmp_path: Path) -> None:
    rows = [a_record(k, close=1.0 + k, n_trades=k) for k in (DAY, 0, 2 * DAY, 5)]

    table = stored(tmp_path, rows).read(**KEY)

    assert table.schema == KLINE_SCHEMA
    assert minutes(table) == [0, 5, DAY, 2 * DAY]
    assert table.column("close").to_pylist() == [1.0, 6.0, 1_441.0, 2_881.0]
    assert table.column("vwap").null_count == 4


def test_records_tell_what_is_known_beside_the_candle(tmp_path: Path) -> None:
    table = stored(tmp_path, [a_record(0, seen_ts=9, provenance="trades")]).records(**KEY)

    assert table.schema == RECORD_SCHEMA
    (row,) = table.to_pylist()
    assert (row["seen_ts"], row["provenance"], row["revision"]) == (9, "trades", 0)


def test_only_closed_candles_are_history_unless_asked(tmp_path: Path) -> None:
    store = stored(tmp_path, [a_record(0), a_record(1, is_closed=False)])

    assert minutes(store.read(**KEY)) == [0]
    assert minutes(store.read(**KEY, include_open=True)) == [0, 1]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (START + MINUTE, START + 2 * MINUTE, [1]),
        ("2024-01-15 00:01", "2024-01-15T00:03:00+00:00", [1, 2]),
        (datetime(2024, 1, 15, 0, 2), None, [2, 3, DAY]),  # noqa: DTZ001 - naive means UTC
        (datetime(2024, 1, 15, 9, 2, tzinfo=timezone(timedelta(hours=9))), None, [2, 3, DAY]),
        (None, date(2024, 1, 16), [0, 1, 2, 3]),
        ("2024-01-16", "2024-01-17", [DAY]),
        ("2024-01-15", "2024-01-15", []),
        ("2030-01-01", None, []),
    ],
)
def test_start_is_inside_and_end_is_not(
    tmp_path: Path, start: When | None, end: When | None, expected: list[int]
) -> None:
    store = stored(tmp_path, [a_record(k) for k in (0, 1, 2, 3, DAY)])

    assert minutes(store.read(**KEY, start=start, end=end)) == expected


@pytest.mark.parametrize("when", ["now", "yesterday", "1705276800000"])
def test_what_is_no_instant_is_refused(tmp_path: Path, when: str) -> None:
    with pytest.raises(ConfigError, match="end="):
        Store(tmp_path).read(**KEY, end=when)


def test_a_file_that_cannot_hold_the_range_is_not_opened(tmp_path: Path) -> None:
    store = stored(tmp_path, [a_record(0), a_record(DAY)])
    (tmp_path / partition_path(SERIES, "2024-01-16")).write_bytes(b"damaged")

    assert minutes(store.read(**KEY, end="2024-01-16")) == [0]
    with pytest.raises(EmitterError, match=r"period=2024-01-16.*is damaged"):
        store.read(**KEY)


def test_files_are_those_that_can_hold_the_range(tmp_path: Path) -> None:
    store = stored(tmp_path, [a_record(0), a_record(1_440)])
    (tmp_path / partition_path(SERIES, "2024-01-17")).parent.mkdir()  # empty: no file in it

    days = [tmp_path / partition_path(SERIES, f"2024-01-{day}") for day in (15, 16)]
    assert store.files(**KEY) == days
    assert store.files(**KEY, start="2024-01-16") == days[1:]


@pytest.mark.parametrize(
    ("timeframe", "opens"),
    [
        ("1h", ["2024-01-31 23:00", "2024-02-01 00:00"]),
        ("4h", ["2024-01-31 20:00", "2024-02-01 00:00"]),
        ("1w", ["2024-01-29", "2024-02-05"]),
        ("1M", ["2024-01-01", "2024-02-01"]),
    ],
)
def test_a_month_boundary_is_seamless_in_every_layout(
    tmp_path: Path, timeframe: str, opens: list[str]
) -> None:
    series = Series("Kraken", "XBT/USD", timeframe)
    rows = [
        Record.from_kline(a_candle(ts(text), timeframe, source="Kraken", symbol="XBT/USD"))
        for text in opens
    ]
    store = stored(tmp_path, rows)

    key: dict[str, Any] = {"source": "Kraken", "symbol": "XBT/USD", "timeframe": timeframe}
    table = store.read(**key, start=opens[0], end="2024-03-01")
    assert table.column("open_ts").to_pylist() == [ts(text) for text in opens]
    assert store.missing(**key) == []
    assert store.series() == [series]


def test_what_is_not_there_has_no_rows(tmp_path: Path) -> None:
    store = Store(tmp_path / "nothing")

    assert store.read(**KEY) == KLINE_SCHEMA.empty_table()
    assert (store.series(), store.coverage(), store.archives(**KEY)) == ([], [], [])
    assert store.missing(**KEY) == []
    assert store.missing(**KEY, start=START, end=START + MINUTE) == [a_hole(0, 0, "pending")]


def test_a_folder_without_its_file_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / partition_path(SERIES, "2024-01-15")).parent.mkdir(parents=True)

    assert Store(tmp_path).read(**KEY).num_rows == 0
    assert Store(tmp_path).coverage() == []


def test_months_and_days_are_read_side_by_side(tmp_path: Path) -> None:
    as_month(tmp_path, a_record(0), a_record(DAY))
    day = partition_path(SERIES, "2024-02-01")
    (tmp_path / day).parent.mkdir(parents=True)
    pq.write_table(records_to_table([a_record(17 * DAY)]), tmp_path / day)

    store = Store(tmp_path)

    assert minutes(store.read(**KEY)) == [0, DAY, 17 * DAY]
    assert minutes(store.read(**KEY, start="2024-01-16", end="2024-01-17")) == [DAY]


def test_a_candle_in_a_month_and_in_its_day_is_one_row_the_later_seen(tmp_path: Path) -> None:
    stored(tmp_path, [a_record(0, close=2.0, seen_ts=2), a_record(1, close=1.0, seen_ts=1)])
    as_month(tmp_path, a_record(0, close=1.0, seen_ts=1), a_record(1, close=2.0, seen_ts=2))

    table = Store(tmp_path).read(**KEY)

    assert minutes(table) == [0, 1]
    assert table.column("close").to_pylist() == [2.0, 2.0]
    assert Store(tmp_path).coverage()[0].rows == 2


def test_a_transformers_own_columns_are_no_part_of_the_rows(tmp_path: Path) -> None:
    with ParquetEmitter(tmp_path).set_transformer(lambda row: {**row, "x": 1}) as emitter:
        emitter.emit_records([a_record(0)])

    assert Store(tmp_path).records(**KEY).schema == RECORD_SCHEMA


def test_pandas_gets_a_utc_index_and_keeps_the_milliseconds(tmp_path: Path) -> None:
    frame = stored(tmp_path, [a_record(0), a_record(1)]).to_pandas(**KEY, start=START)

    assert str(frame.index[1]) == "2024-01-15 00:01:00+00:00"
    assert frame.index.name == "time"
    assert list(frame.columns) == KLINE_SCHEMA.names
    assert frame["open_ts"].tolist() == [START, START + MINUTE]


@pytest.mark.parametrize(
    ("module", "call", "extra"),
    [
        ("pandas", lambda store: store.to_pandas(**KEY), r"streamforge-dagster\[pandas\]"),
        ("duckdb", lambda store: store.sql("select 1"), r"streamforge-dagster\[store\]"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, call: object, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(MissingExtra, match=extra):
        call(Store(tmp_path))  # type: ignore[operator]  # one of the two above


def test_importing_the_store_loads_neither() -> None:
    program = "import sys, streamforge_core.store; print({'pandas', 'duckdb'} & set(sys.modules))"

    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout == "set()\n"


# --- What is missing ---


def test_missing_runs_are_told_with_their_verdicts_across_days(tmp_path: Path) -> None:
    evening = HoleEntry(a_hole(DAY - 10, DAY - 1))
    morning = HoleEntry(a_hole(DAY, DAY + 4))
    rest = HoleEntry(a_hole(DAY + 5, DAY + 6, "our_loss"))
    present = [*range(DAY - 10), *range(DAY + 8, 2 * DAY)]
    store = stored(tmp_path, [a_record(k) for k in present], [evening, morning, rest])

    holes = store.missing(**KEY, start="2024-01-15", end="2024-01-17")

    assert [(hole.first_open_ts, hole.count, hole.verdict) for hole in holes] == [
        (START + (DAY - 10) * MINUTE, 15, "exchange_outage"),
        (START + (DAY + 5) * MINUTE, 2, "our_loss"),
        (START + (DAY + 7) * MINUTE, 1, "pending"),
    ]


def test_an_open_candle_is_missing(tmp_path: Path) -> None:
    store = stored(tmp_path, [a_record(0), a_record(1, is_closed=False), a_record(2)])

    assert store.missing(**KEY) == [a_hole(1, 1, "pending")]


def test_before_the_exchanges_first_candle_nothing_is_missing(tmp_path: Path) -> None:
    bounds = BoundsEntry(START + 2 * MINUTE, None, known_at=START)
    store = stored(tmp_path, [a_record(3)], [bounds])

    holes = store.missing(**KEY, start="2024-01-01", end=START + 4 * MINUTE)

    assert holes == [a_hole(2, 2, "pending")]


def test_a_damaged_coverage_log_is_named(tmp_path: Path) -> None:
    store = stored(tmp_path, [a_record(0)])
    log = tmp_path / coverage_path(SERIES)
    log.parent.mkdir()
    log.write_bytes(b"no json\n{}\n")

    with pytest.raises(EmitterError, match=r"Binance~BTCUSDT~1m\.jsonl is damaged"):
        store.missing(**KEY)


def test_the_known_outage_of_a_real_day_is_the_one_hole(tmp_path: Path) -> None:
    first, last = ts("2023-03-24 12:40"), ts("2023-03-24 13:59")
    evidence = (Evidence("rest", 1, "0 rows"),)
    outage = Hole(first, last, 80, "exchange_outage", evidence=evidence, decided_at=1)
    with ParquetEmitter(tmp_path) as emitter:
        emitter.emit_batch(binance_day("2023-03-24"))
        emitter.record_holes(SERIES, [HoleEntry(outage)])

    store = Store(tmp_path)

    assert store.read(**KEY).num_rows == 1_360
    assert store.missing(**KEY, start="2023-03-24", end="2023-03-25") == [outage]
    assert store.coverage() == [
        SeriesCoverage(
            source="Binance",
            symbol="BTCUSDT",
            timeframe="1m",
            first="2023-03-24",
            last="2023-03-24T23:59:00Z",
            rows=1_360,
            expected=1_440,
            missing=80,
            exchange_outage=80,
        )
    ]


def test_coverage_counts_each_series_from_its_first_to_its_last_closed_candle(
    tmp_path: Path,
) -> None:
    rows = [a_record(2), a_record(6), a_record(9, is_closed=False)]
    rows += [a_record(0, symbol="ETHUSDT"), a_record(0, symbol="open", is_closed=False)]
    store = stored(tmp_path, rows, [HoleEntry(a_hole(3, 3)), HoleEntry(a_hole(4, 4, "late"))])

    btc, eth = store.coverage()

    assert (btc.symbol, btc.first, btc.last) == (
        "BTCUSDT",
        "2024-01-15T00:02:00Z",
        "2024-01-15T00:06:00Z",
    )
    assert (btc.rows, btc.expected, btc.missing) == (2, 5, 3)
    assert (btc.pending, btc.late, btc.exchange_outage, btc.no_trades) == (1, 1, 1, 0)
    assert (eth.symbol, eth.rows, eth.expected, eth.missing) == ("ETHUSDT", 1, 1, 0)


# --- What is known ---


def test_series_are_found_by_their_folders(tmp_path: Path) -> None:
    rows = [a_record(0), a_record(0, source="Kraken", symbol="XBT/USD")]
    store = stored(tmp_path, rows)
    (tmp_path / "source=Binance" / "notes.txt").write_text("not ours")

    assert store.series() == [SERIES, Series("Kraken", "XBT/USD", "1m")]
    assert repr(store) == f"Store({str(tmp_path)!r})"


def test_archives_tell_the_latest_checksum_of_each_file(tmp_path: Path) -> None:
    old = ArchiveEntry("b.zip", "11", "11", 5, quarantined=False, read_at=1)
    new = ArchiveEntry("b.zip", "22", "22", 5, quarantined=False, read_at=2)
    other = ArchiveEntry("a.zip", "33", None, 0, quarantined=True, read_at=3)

    store = stored(tmp_path, [], [old, new, other])

    assert store.archives(**KEY) == [other, new]


def test_reading_needs_no_clock_and_no_lock(tmp_path: Path) -> None:
    with ParquetEmitter(tmp_path) as emitter:
        emitter.emit_records([a_record(0)])
        emitter.flush()
        with emitter._locked(SERIES):  # noqa: SLF001 - a writer at work
            assert minutes(Store(tmp_path).read(**KEY, end=datetime(2030, 1, 1, tzinfo=UTC))) == [0]
