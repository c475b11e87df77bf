"""Higher timeframes out of a store: whole, or withheld; holes keep their reasons."""

from pathlib import Path

import pytest

from streamforge_core.emitters.parquet import ParquetEmitter
from streamforge_core.errors import ConfigError
from streamforge_core.model.columns import as_records, klines_to_table
from streamforge_core.model.coverage import BoundsEntry, HoleEntry
from streamforge_core.runners.derive import derive
from streamforge_core.store import Store
from tests.support.builders import MINUTE, SERIES, START, a_hole, a_minute

HOUR = 60 * MINUTE


def stored(path: Path, minutes: range, *entries: HoleEntry | BoundsEntry) -> Path:
    """Store the named minutes after START, each at a price of its own number."""
    klines = [a_minute(index, close=100.0 + index) for index in minutes]
    with ParquetEmitter(path) as emitter:
        emitter.emit_batch(as_records(klines_to_table(klines), seen_ts=START))
        emitter.flush()
        emitter.record_holes(SERIES, entries)
    return path


def derived(
    path: Path, targets: list[str], start: int = START, end: int = START + HOUR
) -> dict[str, int]:
    return derive(
        path,
        source=SERIES.source,
        symbol=SERIES.symbol,
        timeframe="1m",
        targets=targets,
        start=start,
        end=end,
    )


def read(path: Path, timeframe: str) -> list[tuple[int, float, float]]:
    table = Store(path).read(source="Binance", symbol="BTCUSDT", timeframe=timeframe)
    columns = (table.column(name).to_pylist() for name in ("open_ts", "close", "volume"))
    return list(zip(*columns, strict=True))


def test_whole_buckets_are_stored_beside_their_base(tmp_path: Path) -> None:
    store = stored(tmp_path, range(60))

    rows = derived(store, ["30m", "1h"])

    assert rows == {"30m": 2, "1h": 1}
    assert read(store, "30m") == [(START, 129.0, 30.0), (START + 30 * MINUTE, 159.0, 30.0)]
    assert read(store, "1h") == [(START, 159.0, 60.0)]


def test_derived_rows_say_so(tmp_path: Path) -> None:
    store = stored(tmp_path, range(60))

    derived(store, ["1h"])

    records = Store(store).records(source="Binance", symbol="BTCUSDT", timeframe="1h")
    assert records.column("provenance").to_pylist() == ["aggregated"]


def test_a_bucket_with_an_unexplained_hole_is_withheld(tmp_path: Path) -> None:
    store = stored(tmp_path, range(5, 60))

    rows = derived(store, ["30m"])

    assert rows == {"30m": 1}
    assert read(store, "30m") == [(START + 30 * MINUTE, 159.0, 30.0)]


def test_a_bucket_completes_over_a_proven_outage(tmp_path: Path) -> None:
    store = stored(tmp_path, range(5, 60), HoleEntry(a_hole(0, 4)))

    derived(store, ["30m"])

    assert read(store, "30m")[0] == (START, 129.0, 25.0)


def test_a_bucket_wholly_inside_an_outage_carries_its_verdict(tmp_path: Path) -> None:
    store = stored(tmp_path, range(37, 60), HoleEntry(a_hole(0, 36)))

    rows = derived(store, ["30m"])

    (hole,) = Store(store).missing(
        source="Binance", symbol="BTCUSDT", timeframe="30m", start=START, end=START + HOUR
    )
    assert rows == {"30m": 1}
    assert (hole.first_open_ts, hole.count, hole.verdict) == (START, 1, "exchange_outage")
    assert hole.evidence[-1].answer == "no candle in all of it"


def test_a_bucket_in_an_unexplained_hole_stays_pending(tmp_path: Path) -> None:
    store = stored(tmp_path, range(37, 60))

    derived(store, ["30m"])

    (hole,) = Store(store).missing(
        source="Binance", symbol="BTCUSDT", timeframe="30m", start=START, end=START + HOUR
    )
    assert (hole.verdict, hole.count) == ("pending", 2)


def test_the_first_bucket_of_a_new_listing_is_made_of_what_there_is(tmp_path: Path) -> None:
    listed = BoundsEntry(START + 10 * MINUTE, None, START + HOUR)
    store = stored(tmp_path, range(10, 60), listed)

    derived(store, ["30m"])

    assert read(store, "30m")[0] == (START, 129.0, 20.0)


def test_a_target_that_reaches_out_of_the_range_is_folded_whole(tmp_path: Path) -> None:
    store = stored(tmp_path, range(120))

    rows = derived(store, ["2h"], START + HOUR, START + HOUR + MINUTE)

    assert rows == {"2h": 1}
    assert read(store, "2h") == [(START, 219.0, 120.0)]


def test_a_second_time_changes_no_byte(tmp_path: Path) -> None:
    store = stored(tmp_path, range(60))
    derived(store, ["5m"])
    files = {file: file.read_bytes() for file in store.rglob("*") if file.is_file()}

    derived(store, ["5m"])

    assert {file: file.read_bytes() for file in store.rglob("*") if file.is_file()} == files


def test_dates_are_understood_as_the_store_understands_them(tmp_path: Path) -> None:
    store = stored(tmp_path, range(1440))

    rows = derive(
        store,
        source="Binance",
        symbol="BTCUSDT",
        timeframe="1m",
        targets=["1d"],
        start="2024-01-15",
        end="2024-01-16",
    )

    assert rows == {"1d": 1}


def test_nothing_wanted_is_nothing_done(tmp_path: Path) -> None:
    assert derived(tmp_path, []) == {}


def test_a_target_below_its_base_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="1s candles cannot be aggregated from 1m"):
        derived(tmp_path, ["1s"])
