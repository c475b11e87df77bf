import itertools
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamforge_core.emitters import parquet
from streamforge_core.emitters.parquet import ParquetEmitter
from streamforge_core.errors import ConfigError, EmitterError, RecordError, StorageFull
from streamforge_core.model.columns import records_to_table
from streamforge_core.model.coverage import (
    ArchiveEntry,
    BoundsEntry,
    HoleEntry,
    decode_entries,
    encode_entry,
)
from streamforge_core.model.gap import Evidence, Hole
from streamforge_core.model.kline import Record, Series
from streamforge_core.model.partition import coverage_path
from streamforge_core.pipeline.transformer import Transformer
from tests.support.builders import (
    MINUTE,
    SERIES,
    START,
    a_candle,
    a_hole,
    a_minute,
    a_record,
    a_table,
    ts,
)
from tests.support.full_disk import disk_refuses

DAY = "source=Binance/symbol=BTCUSDT/timeframe=1m/period=2024-01-15/part-0.parquet"
LOG = Path(coverage_path(SERIES))


def written(path: Path, *batches: Sequence[Record]) -> Path:
    """Write batches one after the other, each flushed."""
    with ParquetEmitter(path) as emitter:
        for batch in batches:
            emitter.emit_batch(records_to_table(batch))
            emitter.flush()
    return path


def rows_of(file: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.ParquetFile(file).read().to_pylist()
    return rows


def values(file: Path, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows_of(file)]


def files_in(path: Path) -> dict[str, bytes]:
    """Return every Parquet file's bytes by its path under the root."""
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*.parquet")}


# --- Where rows go ---


def test_a_day_of_minutes_lies_in_one_file_ascending(tmp_path: Path) -> None:
    written(tmp_path, [a_record(2), a_record(0), a_record(1)])

    assert list(files_in(tmp_path)) == [DAY]
    assert values(tmp_path / DAY, "open_ts") == [
        (START,),
        (START + MINUTE,),
        (START + 2 * MINUTE,),
    ]


def test_midnight_parts_two_days(tmp_path: Path) -> None:
    written(tmp_path, [a_record(1_439), a_record(1_440)])

    folder = (tmp_path / DAY).parents[1]
    assert sorted(each.name for each in folder.iterdir()) == [
        "period=2024-01-15",
        "period=2024-01-16",
    ]


@pytest.mark.parametrize(
    ("timeframe", "open_ts", "folder"),
    [
        ("1h", ts("2024-01-31 23:00"), "timeframe=1h/period=2024-01-31"),
        ("2h", ts("2024-01-31 22:00"), "timeframe=2h/period=2024-01"),
        ("1d", ts("2024-02-29 00:00"), "timeframe=1d/period=2024-02"),
        ("1w", ts("2024-01-29 00:00"), "timeframe=1w/period=2024-01"),
        ("1M", ts("2024-02-01 00:00"), "timeframe=1mo/period=2024-02"),
    ],
)
def test_a_timeframe_above_an_hour_has_a_file_per_month(
    tmp_path: Path, timeframe: str, open_ts: int, folder: str
) -> None:
    with ParquetEmitter(tmp_path) as emitter:
        emitter.emit(a_candle(open_ts, timeframe))

    expected = f"source=Binance/symbol=BTCUSDT/{folder}/part-0.parquet"
    assert list(files_in(tmp_path)) == [expected]


def test_a_slash_in_a_symbol_is_escaped_in_the_path_and_kept_in_the_file(tmp_path: Path) -> None:
    written(tmp_path, [a_record(0, source="Kraken", symbol="XBT/USD")])

    (name,) = files_in(tmp_path)
    assert name.startswith("source=Kraken/symbol=XBT%2FUSD/timeframe=1m/")
    assert values(tmp_path / name, "source", "symbol") == [("Kraken", "XBT/USD")]


def test_a_batch_may_mix_series_and_days(tmp_path: Path) -> None:
    written(
        tmp_path,
        [
            a_record(1_440),
            a_record(0, symbol="ETHUSDT"),
            a_record(0),
            Record.from_kline(a_candle(START, "5m")),
        ],
    )

    assert sorted(files_in(tmp_path)) == [
        "source=Binance/symbol=BTCUSDT/timeframe=1m/period=2024-01-15/part-0.parquet",
        "source=Binance/symbol=BTCUSDT/timeframe=1m/period=2024-01-16/part-0.parquet",
        "source=Binance/symbol=BTCUSDT/timeframe=5m/period=2024-01-15/part-0.parquet",
        "source=Binance/symbol=ETHUSDT/timeframe=1m/period=2024-01-15/part-0.parquet",
    ]


def test_a_day_whose_month_was_compacted_is_merged_into_the_month(tmp_path: Path) -> None:
    written(tmp_path, [a_record(0)])
    month = tmp_path / DAY.replace("2024-01-15", "2024-01")
    month.parent.mkdir()
    (tmp_path / DAY).rename(month)
    (tmp_path / DAY).parent.rmdir()

    written(tmp_path, [a_record(1)])

    assert not (tmp_path / DAY).exists()
    assert values(month, "open_ts") == [(START,), (START + MINUTE,)]


# --- Which version stays (the rule itself: tests/unit/model/test_merge.py) ---


def test_duplicates_open_after_closed_and_old_after_corrected_end_in_one_true_row(
    tmp_path: Path,
) -> None:
    versions = [
        a_record(0, close=1.0, is_closed=False, seen_ts=10),
        a_record(0, close=2.0, seen_ts=20),
        a_record(0, close=3.0, is_closed=False, seen_ts=30),
        a_record(0, close=4.0, seen_ts=40),
        a_record(0, close=2.0, seen_ts=20),
        a_record(0, close=4.0, seen_ts=40),
    ]

    together = written(tmp_path / "together", versions)
    apart = written(tmp_path / "apart", *([version] for version in versions))

    expected = [(4.0, True, 1, 40)]
    assert values(together / DAY, "close", "is_closed", "revision", "seen_ts") == expected
    assert values(apart / DAY, "close", "is_closed", "revision", "seen_ts") == expected


def test_the_same_rows_again_leave_the_file_alone(tmp_path: Path) -> None:
    rows = [a_record(index, seen_ts=1) for index in range(5)]
    written(tmp_path, rows)
    before = (tmp_path / DAY).stat()

    written(tmp_path, [a_record(index, seen_ts=2, provenance="archive") for index in range(5)])

    after = (tmp_path / DAY).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert values(tmp_path / DAY, "seen_ts", "provenance")[0] == (1, "websocket")


minutes = st.integers(0, 3 * 1_440)


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Record], list[list[Record]]]:
    """Draw records, and the same ones shuffled, repeated and cut into batches."""
    rows = []
    for index in draw(st.sets(minutes, min_size=1, max_size=12)):
        rows += [
            a_record(index, close=50.0 + seen, is_closed=False, seen_ts=seen)
            for seen in range(draw(st.integers(0, 2)))
        ]
        rows += [
            a_record(index, close=60.0 + again, revision=again, seen_ts=again)
            for again in range(draw(st.integers(1, 2)))
        ]
    more = draw(st.permutations(rows + draw(st.lists(st.sampled_from(rows), max_size=8))))
    cuts = sorted(draw(st.sets(st.integers(0, len(more)), max_size=4)))
    edges = [0, *cuts, len(more)]
    return rows, [list(more[a:b]) for a, b in itertools.pairwise(edges)]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(deliveries())
def test_the_same_rows_give_the_same_bytes_however_they_arrive(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[list[Record], list[list[Record]]]
) -> None:
    rows, batches = drawn

    at_once = written(tmp_path_factory.mktemp("a"), rows)
    in_pieces = written(tmp_path_factory.mktemp("b"), *batches)

    assert files_in(at_once) == files_in(in_pieces)


def test_single_candles_and_a_table_give_the_same_bytes(tmp_path: Path) -> None:
    klines = [a_minute(index, n_trades=index) for index in range(3)]

    with ParquetEmitter(tmp_path / "singly") as emitter:
        for kline in klines:
            emitter.emit(kline)
    with ParquetEmitter(tmp_path / "table") as emitter:
        emitter.emit_batch(a_table(klines))

    assert files_in(tmp_path / "singly") == files_in(tmp_path / "table")


def test_single_candles_and_batches_are_taken_in_the_order_they_came(tmp_path: Path) -> None:
    with ParquetEmitter(tmp_path) as emitter:
        emitter.emit_records([a_record(0, close=1.0, seen_ts=5)])
        emitter.emit_batch(records_to_table([a_record(0, close=2.0, seen_ts=5)]))
        emitter.emit_records([a_record(0, close=3.0, seen_ts=5)])

    assert values(tmp_path / DAY, "close", "revision") == [(3.0, 2)]


def test_nothing_in_a_file_depends_on_when_it_was_written(tmp_path: Path) -> None:
    written(tmp_path, [a_record(0)])

    assert pq.ParquetFile(tmp_path / DAY).metadata.metadata is None


# --- Reports ---


def test_rows_are_pending_until_flush_and_acked_after_it(tmp_path: Path) -> None:
    with ParquetEmitter(tmp_path) as emitter:
        emitter.emit(a_minute(0))
        emitter.emit_batch(a_table([a_minute(1), a_minute(2)]))

        waiting = emitter.flush(deadline_s=0)
        done = emitter.flush()

    assert (waiting.acked, waiting.pending) == (0, 3)
    assert (done.acked, done.pending, done.dead) == (3, 0, 0)


def test_a_long_batch_is_written_before_flush_so_that_memory_stays_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_BUFFER_ROWS", 3)

    with ParquetEmitter(tmp_path) as emitter:
        emitter.emit_batch(a_table([a_minute(0), a_minute(1), a_minute(2)]))
        stored = values(tmp_path / DAY, "open_ts")

    assert len(stored) == 3


def test_a_candle_without_a_source_is_refused(tmp_path: Path) -> None:
    with ParquetEmitter(tmp_path) as emitter:
        with pytest.raises(RecordError, match="without a source"):
            emitter.emit(a_minute(0, source=None))
        emitter.emit_batch(a_table([a_minute(0, source=None), a_minute(1)]))
        emitter.emit_records([a_record(2, source="")])
        report = emitter.flush()

    assert (report.acked, report.dead) == (1, 2)
    assert values(tmp_path / DAY, "open_ts") == [(START + MINUTE,)]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("open_ts", -1),
        ("open_ts", 1_705_276_800_000_000),  # microseconds: the year 56008
        ("symbol", None),
        ("high", float("nan")),
        ("volume", float("inf")),
        ("close", None),
    ],
)
def test_a_row_that_is_no_candle_is_refused_and_its_neighbours_stay(
    tmp_path: Path, column: str, value: object
) -> None:
    rows = records_to_table([a_record(0), a_record(1)]).to_pylist()
    rows[0][column] = value
    table = pa.Table.from_pylist(rows, schema=records_to_table([]).schema)

    with ParquetEmitter(tmp_path) as emitter:
        emitter.emit_batch(table)
        report = emitter.flush()

    assert (report.acked, report.dead) == (1, 1)
    assert values(tmp_path / DAY, "open_ts") == [(START + MINUTE,)]


def test_not_saying_whether_a_candle_is_closed_stores_it_as_open(tmp_path: Path) -> None:
    with ParquetEmitter(tmp_path) as emitter:
        emitter.emit_batch(a_table([a_minute(0, is_closed=None)]))

    assert values(tmp_path / DAY, "is_closed") == [(False,)]


# --- Transformers ---


def test_a_transformers_own_fields_become_columns_after_ours(tmp_path: Path) -> None:
    emitter = ParquetEmitter(tmp_path)
    emitter.set_transformer(lambda row: {**row, "range": row["high"] - row["low"], "note": "x"})

    with emitter:
        emitter.emit_batch(a_table([a_minute(0, open=90.0, close=100.0)]))

    assert pq.ParquetFile(tmp_path / DAY).schema_arrow.names[-3:] == ["seen_ts", "note", "range"]
    assert values(tmp_path / DAY, "open", "note", "range") == [(90.0, "x", 10.0)]


def test_rows_from_before_the_transformer_have_nulls_in_its_columns(tmp_path: Path) -> None:
    written(tmp_path, [a_record(0)])
    emitter = ParquetEmitter(tmp_path).set_transformer(lambda row: {**row, "note": "x"})

    with emitter:
        emitter.emit(a_minute(1))

    assert values(tmp_path / DAY, "note") == [(None,), ("x",)]


def noting(note: str) -> Transformer:
    return lambda row: {**row, "note": note}


def test_a_changed_own_field_alone_is_a_change(tmp_path: Path) -> None:
    for note in ("x", "y"):
        with ParquetEmitter(tmp_path).set_transformer(noting(note)) as emitter:
            emitter.emit(a_minute(0))

    assert values(tmp_path / DAY, "note") == [("y",)]


def test_a_renamed_field_leaves_its_column_empty_and_bookkeeping_stays(tmp_path: Path) -> None:
    emitter = ParquetEmitter(tmp_path)
    emitter.register_map({"close": "last", "is_closed": "done"})

    with emitter:
        emitter.emit_records([a_record(0, close=7.0, seen_ts=3)])

    names = ("close", "last", "done", "is_closed", "seen_ts")
    assert values(tmp_path / DAY, *names) == [(None, 7.0, True, True, 3)]


def test_a_transformer_must_keep_what_identifies_a_candle(tmp_path: Path) -> None:
    emitter = ParquetEmitter(tmp_path)
    emitter.register_map({"symbol": "ticker"})

    with emitter, pytest.raises(RecordError, match="lacks symbol"):
        emitter.emit(a_minute(0))

    assert files_in(tmp_path) == {}


def test_a_value_that_does_not_fit_its_column_costs_its_own_row(tmp_path: Path) -> None:
    emitter = ParquetEmitter(tmp_path)
    emitter.set_transformer(
        lambda row: row if row["open_ts"] else {**row, "open_ts": START, "close": "cheap"}
    )

    with emitter:
        emitter.emit_batch(a_table([a_candle(0, "1m"), a_minute(1)]))
        report = emitter.flush()

    assert (report.acked, report.dead) == (1, 1)
    assert values(tmp_path / DAY, "open_ts") == [(START + MINUTE,)]


def test_a_list_is_no_value_for_a_column(tmp_path: Path) -> None:
    emitter = ParquetEmitter(tmp_path).set_transformer(lambda row: {**row, "tags": ["a"]})

    with emitter:
        emitter.emit(a_minute(0))
        report = emitter.flush()

    assert (report.acked, report.dead) == (0, 1)


# --- Trouble ---


def test_it_must_be_connected_first(tmp_path: Path) -> None:
    emitter = ParquetEmitter(tmp_path)

    with pytest.raises(EmitterError, match="not connected"):
        emitter.emit(a_minute(0))
    with pytest.raises(EmitterError, match="not connected"):
        emitter.emit_batch(a_table([a_minute(0)]))


def test_a_path_that_is_a_file_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("no folder")

    with pytest.raises(ConfigError, match="cannot hold a Parquet store"):
        ParquetEmitter(tmp_path / "store").connect()


@pytest.mark.parametrize("damage", [b"", b"PAR1 this was a file PAR1"])
def test_a_damaged_file_is_named_and_never_overwritten(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / DAY).parent.mkdir(parents=True)
    (tmp_path / DAY).write_bytes(damage)
    emitter = ParquetEmitter(tmp_path)
    emitter.connect()
    emitter.emit(a_minute(0))

    with pytest.raises(EmitterError, match=r"period=2024-01-15.*is damaged"):
        emitter.close()

    assert (tmp_path / DAY).read_bytes() == damage


def test_a_parquet_file_of_someone_else_is_damage_too(tmp_path: Path) -> None:
    (tmp_path / DAY).parent.mkdir(parents=True)
    pq.write_table(pa.table({"price": [1.0]}), tmp_path / DAY)

    with ParquetEmitter(tmp_path) as emitter:
        with pytest.raises(EmitterError, match="no partition of a store"):
            emitter.missing(SERIES, START, START + MINUTE)
        emitter.emit(a_minute(0))
        with pytest.raises(EmitterError, match="no partition of a store"):
            emitter.flush()
        (tmp_path / DAY).unlink()


@pytest.mark.parametrize(
    ("error", "advice"),
    [(28, "No space left.*Free some"), (13, "No right to write.*Give this user")],
)
def test_a_full_or_forbidden_disk_says_what_to_do_and_the_rows_wait(
    tmp_path: Path, error: int, advice: str
) -> None:
    written(tmp_path, [a_record(0)])
    before = files_in(tmp_path)
    emitter = ParquetEmitter(tmp_path)
    emitter.connect()
    emitter.emit(a_minute(1))

    with disk_refuses(error), pytest.raises(StorageFull, match=advice):
        emitter.flush()

    assert files_in(tmp_path) == before
    assert list((tmp_path / "_tmp").iterdir()) == []
    assert emitter.flush().acked == 1
    assert values(tmp_path / DAY, "open_ts") == [(START,), (START + MINUTE,)]


def test_any_other_refusal_of_the_disk_is_an_emitter_error(tmp_path: Path) -> None:
    with ParquetEmitter(tmp_path) as emitter:
        emitter.emit(a_minute(0))
        with disk_refuses(5), pytest.raises(EmitterError, match="could not be written"):
            emitter.flush()


LIMITED_WRITER = """
import resource, signal, sys
from streamforge_core.emitters.parquet import ParquetEmitter
from streamforge_core.errors import StorageFull
from tests.support.builders import a_minute

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
emitter = ParquetEmitter(sys.argv[1])
emitter.connect()
emitter.emit(a_minute(0))
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, resource.RLIM_INFINITY))
try:
    emitter.flush()
except StorageFull as error:
    print("full", flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(emitter.flush().acked)
"""


def test_a_disk_that_is_really_full_leaves_no_half_file(tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", LIMITED_WRITER, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout.split() == ["full", "1"]
    assert list(files_in(tmp_path)) == [DAY]


ENDLESS_WRITER = """
import sys
from streamforge_core.emitters.parquet import ParquetEmitter
from streamforge_core.model.columns import records_to_table
from tests.support.builders import a_record

with ParquetEmitter(sys.argv[1]) as emitter:
    for turn in range(10_000):
        rows = [a_record(i, close=1.0 + turn, seen_ts=turn) for i in range(0, 4_320, 3)]
        emitter.emit_batch(records_to_table(rows))
        emitter.flush()
        print(turn, flush=True)
"""


def test_killing_the_writer_leaves_whole_files_only(tmp_path: Path) -> None:
    for delay_s in (0.0, 0.011, 0.023):
        with subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, "-c", ENDLESS_WRITER, str(tmp_path)], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            threading.Event().wait(delay_s)
            writer.kill()

        files = files_in(tmp_path)
        assert len(files) == 3
        for name in files:
            assert len(set(values(tmp_path / name, "close"))) == 1  # one turn's, never a mixture
        with ParquetEmitter(tmp_path):
            assert list((tmp_path / "_tmp").iterdir()) == []


def test_what_a_killed_writer_left_is_removed_unless_its_series_is_being_written(
    tmp_path: Path,
) -> None:
    with ParquetEmitter(tmp_path) as emitter:
        left = tmp_path / "_tmp" / "Binance~BTCUSDT~1m~2024-01-15.tmp"
        left.write_bytes(b"half")

        with emitter._locked(SERIES), ParquetEmitter(tmp_path):  # noqa: SLF001 - a live writer
            assert left.exists()
        with ParquetEmitter(tmp_path):
            assert not left.exists()


def test_two_writers_of_one_day_lose_nothing(tmp_path: Path) -> None:
    def write(indices: range) -> None:
        with ParquetEmitter(tmp_path) as emitter:
            for index in indices:
                emitter.emit_records([a_record(index)])
                emitter.flush()

    writers = [threading.Thread(target=write, args=(range(k, 60, 3),)) for k in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert values(tmp_path / DAY, "open_ts") == [(START + k * MINUTE,) for k in range(60)]


def test_a_lock_that_is_never_given_back_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_LOCK_PATIENCE_S", 0.01)

    with ParquetEmitter(tmp_path) as holder, ParquetEmitter(tmp_path) as other:
        other.emit(a_minute(0))
        with (
            holder._locked(SERIES),  # noqa: SLF001 - a writer that hangs
            pytest.raises(EmitterError, match="End the process that hangs"),
        ):
            other.flush()


# --- What is there ---


def test_the_newest_candle_is_the_newest_closed_one(tmp_path: Path) -> None:
    rows = [a_record(0), a_record(1_440), a_record(1_441, is_closed=False)]
    rows.append(a_record(2 * 1_440, is_closed=False))
    written(tmp_path, rows)

    with ParquetEmitter(tmp_path) as emitter:
        assert emitter.last_open_ts(SERIES) == START + 1_440 * MINUTE
        assert emitter.last_open_ts(Series("Binance", "ETHUSDT", "1m")) is None


def test_missing_are_the_minutes_without_a_closed_candle(tmp_path: Path) -> None:
    written(tmp_path, [a_record(0), a_record(1, is_closed=False), a_record(4)])

    with ParquetEmitter(tmp_path) as emitter:
        missing = emitter.missing(SERIES, START, START + 6 * MINUTE)

    assert missing == [a_hole(1, 3, "pending"), a_hole(5, 5, "pending")]


def test_a_verdict_is_kept_beside_the_rows_and_told_with_what_is_missing(tmp_path: Path) -> None:
    written(tmp_path, [a_record(0), a_record(4)])

    with ParquetEmitter(tmp_path) as emitter:
        emitter.record_holes(SERIES, [HoleEntry(a_hole(1, 2)), HoleEntry(a_hole(3, 3, "late"))])

        assert emitter.missing(SERIES, START, START + 5 * MINUTE) == [
            a_hole(1, 2, "exchange_outage"),
            a_hole(3, 3, "late"),
        ]


def outage(at_ms: int) -> HoleEntry:
    evidence = (Evidence("rest", at_ms, "0 rows"),)
    return HoleEntry(
        Hole(START, START + MINUTE, 2, "exchange_outage", evidence=evidence, decided_at=at_ms)
    )


def test_a_second_run_with_the_same_verdicts_appends_nothing(tmp_path: Path) -> None:
    archive = ArchiveEntry("a.zip", "00", "00", 5, quarantined=False, read_at=1)
    again = ArchiveEntry("a.zip", "00", "00", 5, quarantined=False, read_at=2)
    with ParquetEmitter(tmp_path) as emitter:
        emitter.record_holes(SERIES, [outage(1), archive, BoundsEntry(START, None, known_at=1)])
        before = (tmp_path / LOG).read_bytes()

        emitter.record_holes(SERIES, [outage(2), again, BoundsEntry(START, None, known_at=2)])

    assert (tmp_path / LOG).read_bytes() == before
    assert before.count(b"\n") == 3


def test_a_torn_last_line_of_the_log_is_cut_off_before_the_next_one(tmp_path: Path) -> None:
    with ParquetEmitter(tmp_path) as emitter:
        emitter.record_holes(SERIES, [outage(1)])
        with (tmp_path / LOG).open("ab") as log:
            log.write(b'{"kind":"ho')

        emitter.record_holes(SERIES, [HoleEntry(a_hole(5, 5))])

    assert decode_entries((tmp_path / LOG).read_bytes()) == [outage(1), HoleEntry(a_hole(5, 5))]


def test_a_damaged_log_is_named(tmp_path: Path) -> None:
    with ParquetEmitter(tmp_path) as emitter:
        (tmp_path / LOG).parent.mkdir()
        (tmp_path / LOG).write_bytes(b"no json\n" + encode_entry(outage(1)))

        with pytest.raises(EmitterError, match=r"Binance~BTCUSDT~1m.jsonl is damaged: Line 1"):
            emitter.missing(SERIES, START, START + MINUTE)


def test_a_full_disk_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    with ParquetEmitter(tmp_path) as emitter:
        emitter.record_holes(SERIES, [outage(1)])
        before = (tmp_path / LOG).read_bytes()

        with disk_refuses(28), pytest.raises(StorageFull):
            emitter.record_holes(SERIES, [HoleEntry(a_hole(5, 5))])

    assert (tmp_path / LOG).read_bytes() == before
