import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.csv
import pytest

from streamforge_core.emitters import line_file
from streamforge_core.emitters.csv_file import CSVEmitter
from streamforge_core.errors import ConfigError, EmitterError, RecordError, StorageFull
from streamforge_core.model.columns import records_to_table
from streamforge_core.model.kline import Kline, Series
from tests.support.builders import (
    MINUTE,
    SERIES,
    START,
    a_candle,
    a_hole,
    a_minute,
    a_record,
    a_table,
)

HEADER = (
    "source,symbol,timeframe,open_ts,end_ts,open,high,low,close,volume,quote_volume,vwap,n_trades,"
    "is_closed"
)
ETH = Series("Binance", "ETHUSDT", "1m")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "candles.csv"


def lines(file: Path) -> list[str]:
    text = file.read_text()
    assert text.endswith("\n")
    return text.splitlines()


def opens(file: Path) -> list[int]:
    """Return each line's open in minutes after START."""
    column = lines(file)[0].split(",").index("open_ts")
    return [(int(line.split(",")[column]) - START) // MINUTE for line in lines(file)[1:]]


def revisions(file: Path) -> Path:
    return file.with_name("candles.csv.revisions.csv")


# --- The text ---


def test_a_line_has_the_fourteen_fields_under_their_names(file: Path) -> None:
    with CSVEmitter(file_path=file) as emitter:
        emitter.emit(
            a_candle(START, open=0.1, high=1e16, low=1e-05, close=1e16, volume=3.0, n_trades=7)
        )

    assert lines(file) == [
        HEADER,
        "Binance,BTCUSDT,1m,1705276800000,1705276859999,0.1,1e+16,1e-05,1e+16,3.0,,,7,true",
    ]


@pytest.mark.parametrize("n_trades", [None, 12])
def test_a_single_candle_and_a_table_give_the_same_text(tmp_path: Path, n_trades: int) -> None:
    klines = [
        a_minute(0, close=43250.07, quote_volume=0.1 + 0.2, vwap=1 / 3, n_trades=n_trades),
        a_minute(1, volume=0.0, symbol="BTC,USDT"),
        a_minute(2, is_closed=None, symbol='B"T"C'),
    ]

    with CSVEmitter(file_path=tmp_path / "singly.csv") as emitter:
        for kline in klines:
            emitter.emit(kline)
    with CSVEmitter(file_path=tmp_path / "table.csv") as emitter:
        emitter.emit_batch(a_table(klines))

    assert (tmp_path / "singly.csv").read_bytes() == (tmp_path / "table.csv").read_bytes()
    assert '"BTC,USDT"' in lines(tmp_path / "table.csv")[2]
    read_back = pyarrow.csv.read_csv(tmp_path / "table.csv").column("vwap").to_pylist()
    assert read_back == [1 / 3, None, None]


def test_an_open_candle_is_never_written(file: Path) -> None:
    with CSVEmitter(file_path=file) as emitter:
        emitter.emit(a_minute(0, is_closed=False))
        emitter.emit_batch(a_table([a_minute(1, is_closed=False), a_minute(2)]))
        emitter.emit_records([a_record(3, is_closed=False)])

    assert opens(file) == [2]


def test_the_header_is_there_once_even_without_candles(file: Path) -> None:
    for _ in range(2):
        with CSVEmitter(file_path=file):
            pass

    assert lines(file) == [HEADER]


# --- What is taken ---


@pytest.mark.parametrize("batched", [True, False])
def test_source_symbol_and_timeframe_choose_candles(file: Path, *, batched: bool) -> None:
    klines = [
        a_minute(0),
        a_minute(1, source="Kraken"),
        a_minute(2, symbol="ETHUSDT"),
        a_candle(START, "1M"),
        a_minute(3),
    ]

    with CSVEmitter("binance", "btcusdt", "1m", file) as emitter:
        if batched:
            emitter.emit_batch(a_table(klines))
        for kline in klines:
            emitter.emit(kline)

    assert opens(file) == [0, 3]


def test_a_candle_without_a_source_is_refused(file: Path) -> None:
    with CSVEmitter(file_path=file) as emitter:
        with pytest.raises(RecordError, match="without a source"):
            emitter.emit(a_minute(0, source=None))
        emitter.emit_batch(a_table([a_minute(0, source=None), a_minute(1)]))
        emitter.emit_records([a_record(2, source="")])

        assert emitter.flush().dead == 2

    assert opens(file) == [1]


# --- Once each, in order ---


def test_a_second_run_adds_nothing(file: Path) -> None:
    table = a_table([a_minute(index) for index in range(5)])
    for _ in range(2):
        with CSVEmitter(file_path=file) as emitter:
            emitter.emit_batch(table)
    for kline in (a_minute(2), a_minute(4)):
        with CSVEmitter(file_path=file) as emitter:
            emitter.emit(kline)

    assert opens(file) == [0, 1, 2, 3, 4]
    assert not revisions(file).exists()


def test_a_run_cut_short_and_repeated_gives_the_bytes_of_one_run(tmp_path: Path) -> None:
    table = a_table([a_minute(index, close=1.0 + index) for index in range(50)])
    with CSVEmitter(file_path=tmp_path / "whole.csv") as emitter:
        emitter.emit_batch(table)
    whole = (tmp_path / "whole.csv").read_bytes()

    for cut in (0, 5, len(HEADER), len(HEADER) + 1, 700, len(whole) - 1):
        (tmp_path / "cut.csv").write_bytes(whole[:cut])
        with CSVEmitter(file_path=tmp_path / "cut.csv") as emitter:
            emitter.emit_batch(table)

        assert (tmp_path / "cut.csv").read_bytes() == whole


def test_a_batch_out_of_order_is_sorted(file: Path) -> None:
    with CSVEmitter(file_path=file) as emitter:
        emitter.emit_batch(a_table([a_minute(index) for index in (3, 1, 2, 1, 0)]))

    assert opens(file) == [0, 1, 2, 3]


def test_series_share_a_file_and_each_keeps_its_own_order(file: Path) -> None:
    with CSVEmitter(file_path=file) as emitter:
        emitter.emit_batch(a_table([a_minute(0), a_minute(1), a_minute(2)]))
        emitter.emit_batch(a_table([a_minute(0, symbol="ETHUSDT"), a_minute(2)]))
    with CSVEmitter(file_path=file) as emitter:
        emitter.emit(a_minute(1, symbol="ETHUSDT"))

        assert emitter.last_open_ts(SERIES) == START + 2 * MINUTE
        assert emitter.last_open_ts(ETH) == START + MINUTE
        assert emitter.last_open_ts(Series("Binance", "X", "1m")) is None

    assert opens(file) == [0, 1, 2, 0, 1]


def test_a_late_candle_goes_to_the_revisions_once(file: Path) -> None:
    for _ in range(2):
        with CSVEmitter(file_path=file) as emitter:
            emitter.emit_batch(a_table([a_minute(0), a_minute(2)]))
            emitter.emit_batch(a_table([a_minute(1)]))
            emitter.emit(a_minute(1))

    assert opens(file) == [0, 2]
    assert lines(revisions(file))[0] == HEADER
    assert opens(revisions(file)) == [1]


def test_a_correction_goes_to_the_revisions(file: Path) -> None:
    corrected = a_record(0, close=101.0, revision=1)

    with CSVEmitter(file_path=file) as emitter:
        emitter.emit_records([a_record(0), a_record(1), corrected])
        emitter.emit_batch(records_to_table([corrected, a_record(0, close=102.0, revision=2)]))

    assert opens(file) == [0, 1]
    assert [line.split(",")[8] for line in lines(revisions(file))[1:]] == ["101.0", "102.0"]


def test_missing_is_what_follows_the_last_candle(file: Path) -> None:
    with CSVEmitter(symbol="BTCUSDT", file_path=file) as emitter:
        assert emitter.missing(SERIES, START, START + 3 * MINUTE) == [a_hole(0, 2, "pending")]
        emitter.emit_batch(a_table([a_minute(1), a_minute(3)]))

        assert emitter.missing(SERIES, START, START + 6 * MINUTE) == [a_hole(4, 5, "pending")]
        assert emitter.missing(SERIES, START, START + 4 * MINUTE) == []
        assert emitter.missing(ETH, START, START + 4 * MINUTE) == []  # it would never take one


# --- Transformers ---


def noted(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "note": "x", "range": row["high"] - row["low"]}


def renamed(row: dict[str, Any]) -> dict[str, Any]:
    return {"t": row["open_ts"] // 1_000, "price": row["close"]}


def in_seconds(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "source": row["source"].lower(), "open_ts": row["open_ts"] // 1_000}


def test_the_header_is_what_the_transformer_returns(file: Path) -> None:
    with CSVEmitter(file_path=file, transformer_function=renamed) as emitter:
        emitter.emit(a_minute(0, close=5.0))
        emitter.emit_batch(a_table([a_minute(1, close=6.5)]))

    assert lines(file) == ["t,price", "1705276800,5.0", "1705276860,6.5"]


def test_a_row_with_other_keys_than_the_header_is_refused(file: Path) -> None:
    def sometimes(row: dict[str, Any]) -> dict[str, Any]:
        return row if row["open_ts"] == START else {**row, "extra": 1}

    with CSVEmitter(file_path=file, transformer_function=sometimes) as emitter:
        emitter.emit_batch(a_table([a_minute(0), a_minute(1)]))
        with pytest.raises(RecordError, match=r"this row has .*extra"):
            emitter.emit(a_minute(2))

        assert emitter.flush().dead == 1

    assert opens(file) == [0]


def test_keys_in_another_order_go_under_their_own_columns(file: Path) -> None:
    with CSVEmitter(file_path=file, transformer_function=renamed) as emitter:
        emitter.emit(a_minute(0, close=5.0))

    backwards = CSVEmitter(file_path=file)
    backwards.set_transformer(lambda row: dict(reversed(renamed(row).items())))
    with backwards:
        backwards.emit(a_minute(1, close=6.0))

    assert lines(file)[1:] == ["1705276800,5.0", "1705276860,6.0"]


@pytest.mark.parametrize("transformer", [noted, in_seconds])
def test_a_transformed_run_repeated_adds_nothing(
    file: Path, transformer: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    for _ in range(2):
        with CSVEmitter(file_path=file, transformer_function=transformer) as emitter:
            emitter.emit_batch(a_table([a_minute(0), a_minute(1)]))

    assert len(lines(file)) == 3


def test_a_time_that_is_no_millisecond_is_not_told_as_one(file: Path) -> None:
    with CSVEmitter(file_path=file, transformer_function=in_seconds) as emitter:
        emitter.emit(a_minute(0))

        assert emitter.last_open_ts(Series("binance", "BTCUSDT", "1m")) is None


@pytest.mark.parametrize("dropped", ["symbol", "open_ts"])
def test_a_file_that_does_not_name_its_candles_is_warned_about(
    file: Path, caplog: pytest.LogCaptureFixture, dropped: str
) -> None:
    def without(row: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in row.items() if name != dropped}

    for _ in range(2):
        with CSVEmitter(file_path=file, transformer_function=without) as emitter:
            emitter.emit(a_minute(0))

    assert "candles that come again are written again" in caplog.text
    assert len(lines(file)) == 3


def test_what_the_file_lacks_is_known_from_what_was_asked_for(file: Path) -> None:
    def short(row: dict[str, Any]) -> dict[str, Any]:
        return {"open_ts": row["open_ts"], "close": row["close"]}

    for _ in range(2):
        with CSVEmitter("Binance", "BTCUSDT", "1m", file, short) as emitter:
            emitter.emit(a_minute(0))
            assert emitter.last_open_ts(SERIES) == START

    assert len(lines(file)) == 2


@pytest.mark.parametrize("text", ["yesterday", ""])
def test_a_column_that_only_has_the_name_of_a_time_tells_nothing(file: Path, text: str) -> None:
    file.write_text(f"{HEADER}\n" + a_line(0).replace(str(START), text) + "\n")

    with CSVEmitter(file_path=file) as emitter:
        assert emitter.last_open_ts(SERIES) is None


def a_line(index: int) -> str:
    opened = START + index * MINUTE
    return f"Binance,BTCUSDT,1m,{opened},{opened + 59_999},1.0,1.0,1.0,1.0,1.0,,,,true"


def test_a_line_break_in_a_text_is_refused(file: Path) -> None:
    broken = {"open_ts": 1, "note": "two\nlines"}

    with (
        CSVEmitter(file_path=file, transformer_function=lambda _: broken) as emitter,
        pytest.raises(RecordError, match="line break"),
    ):
        emitter.emit(a_minute(0))


# --- Opening ---


def test_without_a_file_it_cannot_connect() -> None:
    with pytest.raises(ConfigError, match="set_file_path"):
        CSVEmitter().connect()


def test_it_must_be_connected_first(file: Path) -> None:
    with pytest.raises(EmitterError, match="not connected"):
        CSVEmitter(file_path=file).emit(a_minute(0))


def test_other_columns_are_refused_with_both_headers(file: Path) -> None:
    file.write_text("time,price\n1,2\n")

    with pytest.raises(ConfigError, match=r"has the columns time,price and would get source,sym"):
        CSVEmitter(file_path=file).connect()
    with pytest.raises(ConfigError, match=r"would get source,symbol.*note,range"):
        CSVEmitter(file_path=file, transformer_function=noted).connect()

    assert file.read_text() == "time,price\n1,2\n"


@pytest.mark.parametrize("answer", [None, ValueError("not this symbol")])
def test_a_transformer_that_gives_no_sample_is_judged_by_its_first_row(
    file: Path, answer: Exception | None
) -> None:
    file.write_text("time,price\n1,2\n")

    def only_mine(row: dict[str, Any]) -> dict[str, Any] | None:
        if row["close"] == 100.0:
            return row
        if answer is None:
            return None
        raise answer

    with (
        CSVEmitter(file_path=file, transformer_function=only_mine) as emitter,
        pytest.raises(RecordError, match="has the columns time,price, this row has source"),
    ):
        emitter.emit(a_minute(0))


def test_a_second_emitter_on_one_file_is_refused(file: Path) -> None:
    with CSVEmitter(file_path=file) as first:
        with pytest.raises(ConfigError, match="open in another CSVEmitter"):
            CSVEmitter(file_path=file).connect()
        first.emit(a_minute(0))

    with CSVEmitter(file_path=file):
        pass


def test_an_emitter_that_could_not_connect_leaves_the_file_free(file: Path) -> None:
    file.write_text("time,price\n1,2\n")
    with pytest.raises(ConfigError):
        CSVEmitter(file_path=file).connect()

    file.unlink()
    with CSVEmitter(file_path=file):
        pass


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        CSVEmitter(file_path=tmp_path).connect()


def test_folders_are_created_and_the_given_path_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "candles.csv"

    with CSVEmitter("Binance", file_path=str(file)) as emitter:
        emitter.emit(a_minute(0))

    assert opens(file) == [0]


def test_the_file_can_be_changed_in_between(tmp_path: Path) -> None:
    emitter = CSVEmitter().set_file_path(tmp_path / "one.csv")
    with emitter:
        emitter.connect()  # again: nothing happens
        emitter.emit(a_minute(0))
        emitter.set_file_path(tmp_path / "two.csv")
        emitter.emit(a_minute(1))

    assert (opens(tmp_path / "one.csv"), opens(tmp_path / "two.csv")) == ([0], [1])


def test_a_long_torn_tail_is_cut_off(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.write_text(f"{HEADER}\n{a_line(0)}\n" + "x" * 200_000)

    with CSVEmitter(file_path=file) as emitter:
        emitter.emit(a_minute(1))

    assert opens(file) == [0, 1]
    assert "torn last line of 200000 bytes" in caplog.text


# --- Trouble ---


LIMITED_WRITER = """
import resource, signal, sys
from streamforge_core.emitters.csv_file import CSVEmitter
from streamforge_core.errors import StorageFull
from tests.support.builders import a_minute, a_table

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with CSVEmitter(file_path=sys.argv[1]) as emitter:
    emitter.emit(a_minute(0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (400, resource.RLIM_INFINITY))
    for emit in (
        lambda: emitter.emit_batch(a_table([a_minute(k) for k in range(1, 9)])),
        lambda: [emitter.emit(a_minute(k)) for k in range(1, 9)],
    ):
        try:
            emit()
        except StorageFull as error:
            print("full", flush=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    emitter.emit_batch(a_table([a_minute(k) for k in range(1, 9)]))
"""


def test_a_full_disk_leaves_whole_lines_and_the_rest_follows_when_there_is_space(
    file: Path,
) -> None:
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", LIMITED_WRITER, str(file)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout.split() == ["full", "full"]
    assert opens(file) == [0, 1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("number", "kind"), [(28, StorageFull), (5, EmitterError)], ids=["full", "broken"]
)
def test_a_write_that_is_refused_is_loud_and_counts_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    with CSVEmitter(file_path=file) as emitter:
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", refuse)
            with pytest.raises(kind):
                emitter.emit(a_minute(0))
        emitter.emit(a_minute(0))

        assert emitter.flush().acked == 1

    assert opens(file) == [0]


def test_rows_are_acked_when_they_are_durable(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(line_file, "_sync_data", synced.append)

    with CSVEmitter(file_path=file) as emitter:
        for index in range(100):
            emitter.emit(a_minute(index))
        assert len(synced) == 1  # a group of a hundred
        emitter.emit_batch(a_table([a_minute(100)]))
        assert len(synced) == 2
        emitter.emit(a_minute(101))
        assert emitter.flush().acked == 102
        assert len(synced) == 3


KILLED_WRITER = """
import sys
from streamforge_core.emitters.csv_file import CSVEmitter
from tests.support.builders import a_minute, a_table

with CSVEmitter(file_path=sys.argv[1]) as emitter:
    print("connected", flush=True)
    for start in range(0, 1_000_000, 500):
        emitter.emit_batch(a_table([a_minute(k) for k in range(start, start + 500)]))
"""


def test_killing_the_writer_leaves_a_file_that_can_be_continued(file: Path) -> None:
    for delay_s in (0.0, 0.05, 0.1):
        with subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, "-c", KILLED_WRITER, str(file)], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            threading.Event().wait(delay_s)
            writer.kill()

    with CSVEmitter(file_path=file) as emitter:
        last = emitter.last_open_ts(SERIES)
        emitter.emit(Kline(**a_minute(0).model_dump()))
    count = 0 if last is None else (last - START) // MINUTE + 1
    assert opens(file) == list(range(max(1, count)))
