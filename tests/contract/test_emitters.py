"""What every destination keeps, whatever it writes into."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from streamforge_core.emitters.base import Emitter, Report
from streamforge_core.emitters.csv_file import CSVEmitter
from streamforge_core.emitters.delivery import Delivery, EmitterHolder
from streamforge_core.emitters.logger import Logger
from streamforge_core.emitters.parquet import ParquetEmitter
from streamforge_core.model.columns import records_to_table
from streamforge_core.model.kline import Kline, Record, series_of
from tests.support.builders import MINUTE, START, a_minute, a_record, a_table

Row = dict[str, Any]


class Destination(ABC):
    """One kind of emitter and how what it took is read back."""

    writes_by_identity: ClassVar[bool]

    def __init__(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        self.path = tmp_path
        self.caplog = caplog

    @abstractmethod
    def emitter(self) -> Emitter:
        """Return a new emitter into the same place."""

    @abstractmethod
    def rows(self) -> list[Row]:
        """Return what is there, in order."""

    def opens(self) -> list[int]:
        """Return the opens that are there, in minutes after START."""
        return [(int(row["open_ts"]) - START) // MINUTE for row in self.rows()]


class CSV(Destination):
    writes_by_identity = True

    def emitter(self) -> Emitter:
        return CSVEmitter(file_path=self.path / "candles.csv")

    def rows(self) -> list[Row]:
        rows: list[Row] = pyarrow.csv.read_csv(self.path / "candles.csv").to_pylist()
        return rows


class Parquet(Destination):
    writes_by_identity = True

    def emitter(self) -> Emitter:
        return ParquetEmitter(self.path / "store")

    def rows(self) -> list[Row]:
        files = sorted((self.path / "store").rglob("*.parquet"))
        return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


class Console(Destination):
    writes_by_identity = False

    def emitter(self) -> Emitter:
        # Its line has no open_ts in milliseconds: its transformed form shows every field.
        return Logger().set_transformer(dict)

    def rows(self) -> list[Row]:
        lines = [
            record.getMessage()
            for record in self.caplog.records
            if record.name.startswith("streamforge.candles")
        ]
        pairs = ([pair.split("=", 1) for pair in line.split()] for line in lines)
        return [{name: _value(text) for name, text in each} for each in pairs]


def _value(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


class Memory(Destination):
    writes_by_identity = False

    def __init__(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        super().__init__(tmp_path, caplog)
        self.taken: list[Kline] = []

    def emitter(self) -> Emitter:
        taken = self.taken

        class Custom(Emitter):
            def emit(self, data: Kline) -> None:
                taken.append(data)

        return Custom()

    def rows(self) -> list[Row]:
        return [kline.model_dump() for kline in self.taken]


class AsyncMemory(Memory):
    def emitter(self) -> Emitter:
        taken = self.taken

        class CustomAsync(Emitter):
            async def emit(self, data: Kline) -> None:
                taken.append(data)

        return CustomAsync()


@pytest.fixture(params=[CSV, Parquet, Console, Memory, AsyncMemory])
def destination(
    request: pytest.FixtureRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> Destination:
    made: Destination = request.param(tmp_path, caplog)
    return made


def close_of(row: Row) -> float:
    return float(row["close"])


def test_single_candles_and_tables_are_all_taken_in_order(destination: Destination) -> None:
    with destination.emitter() as emitter:
        emitter.emit_klines([a_minute(0), a_minute(1)])
        emitter.emit_batch(a_table([a_minute(2), a_minute(3)]))
        emitter.emit_batch(records_to_table([a_record(4)]))
        emitter.emit_records([a_record(5)])

        assert emitter.flush() == Report(acked=6)

    assert destination.opens() == [0, 1, 2, 3, 4, 5]


def test_values_arrive_to_the_last_digit(destination: Destination) -> None:
    with destination.emitter() as emitter:
        emitter.emit_batch(a_table([a_minute(0, open=0.1, close=0.30000000000000004, volume=1e-8)]))

    (row,) = destination.rows()
    assert (row["open"], row["close"], row["volume"]) == (0.1, 0.30000000000000004, 1e-8)


def test_duplicates_are_one_candle_where_there_is_an_identity(destination: Destination) -> None:
    with destination.emitter() as emitter:
        for _ in range(2):
            emitter.emit_batch(a_table([a_minute(0), a_minute(1), a_minute(1)]))
            emitter.emit_klines([a_minute(0)])
            emitter.flush()

    expected = [0, 1] if destination.writes_by_identity else [0, 1, 1, 0, 0, 1, 1, 0]
    assert destination.opens() == expected


def test_a_restart_goes_on_where_it_was_and_doubles_nothing(destination: Destination) -> None:
    for last in (2, 4):
        with destination.emitter() as emitter:
            emitter.emit_batch(a_table([a_minute(index) for index in range(last)]))

    expected = [0, 1, 2, 3] if destination.writes_by_identity else [0, 1, 0, 1, 2, 3]
    assert destination.opens() == expected


def test_after_a_restart_the_newest_candle_is_known_or_not_told(destination: Destination) -> None:
    with destination.emitter() as emitter:
        emitter.emit_batch(a_table([a_minute(0), a_minute(7)]))
    with destination.emitter() as emitter:
        last = emitter.last_open_ts(series_of(a_minute(0)))

    assert last == (START + 7 * MINUTE if destination.writes_by_identity else None)


def test_closing_twice_is_harmless(destination: Destination) -> None:
    emitter = destination.emitter()
    emitter.connect()
    emitter.emit_klines([a_minute(0)])

    emitter.close()
    emitter.close()

    assert destination.opens() == [0]


def test_it_can_be_connected_again_after_close(destination: Destination) -> None:
    emitter = destination.emitter()
    for index in (0, 1):
        with emitter:
            emitter.emit_klines([a_minute(index)])

    assert destination.opens() == [0, 1]


def test_a_transformer_adds_and_changes_fields(destination: Destination) -> None:
    emitter = destination.emitter()
    emitter.set_transformer(lambda row: {**row, "spread": row["high"] - row["low"]})
    emitter.set_transformer(lambda row: {**row, "close": row["close"] * 2})

    with emitter:
        emitter.emit_batch(a_table([a_minute(0, open=90.0, close=100.0)]))
        emitter.emit_klines([a_minute(1, open=100.0, close=100.0)])

    assert [(row["spread"], row["close"]) for row in destination.rows()] == [
        (10.0, 200.0),
        (0.0, 200.0),
    ]


def test_a_map_renames_fields(destination: Destination) -> None:
    emitter = destination.emitter().register_map({"close": "last"})

    with emitter:
        emitter.emit_batch(a_table([a_minute(0, close=3.0)]))

    (row,) = destination.rows()
    assert row["last"] == 3.0
    assert row.get("close") is None


def test_a_transformer_that_returns_none_drops_that_row(destination: Destination) -> None:
    emitter = destination.emitter()
    emitter.set_transformer(lambda row: row if row["close"] > 1 else None)

    with emitter:
        emitter.emit_batch(a_table([a_minute(0, close=1.0), a_minute(1, close=2.0)]))
        emitter.emit_klines([a_minute(2, close=1.0), a_minute(3, close=2.0)])
        emitter.emit_records([a_record(4, close=1.0)])

        assert emitter.flush().dead == 0

    assert destination.opens() == [1, 3]


def test_a_transformer_that_raises_costs_its_own_row(destination: Destination) -> None:
    emitter = destination.emitter()
    emitter.set_transformer(lambda row: {**row, "inverse": 1 / (row["close"] - 1)})

    with emitter:
        emitter.emit_batch(a_table([a_minute(0, close=2.0), a_minute(1, close=1.0)]))
        emitter.emit_records([a_record(2, close=1.0), a_record(3, close=2.0)])
        report = emitter.flush()

    assert destination.opens() == [0, 3]
    assert (report.acked, report.dead) == (2, 2)


async def test_a_live_stream_delivers_to_it(destination: Destination) -> None:
    emitter = destination.emitter()
    delivery = Delivery([emitter])

    await delivery.start()
    await delivery.put([a_record(0), a_record(1)])
    await delivery.put([a_record(2)])
    reports = await delivery.close()

    assert destination.opens() == [0, 1, 2]
    assert reports == {emitter.name: Report(acked=3)}


def test_a_holder_feeds_it_from_blocking_code(destination: Destination) -> None:
    holder = EmitterHolder([destination.emitter()])

    holder.connect()
    holder.emit(a_minute(0))
    holder.emit_batch(a_table([a_minute(1)]))
    holder.close()

    assert destination.opens() == [0, 1]


def versions() -> list[Record]:
    """One candle: open, closed, late open, corrected, and both old versions again."""
    return [
        a_record(0, close=1.0, is_closed=False, seen_ts=10),
        a_record(0, close=2.0, seen_ts=20),
        a_record(0, close=3.0, is_closed=False, seen_ts=30),
        a_record(0, close=4.0, seen_ts=40, revision=1),
        a_record(0, close=2.0, seen_ts=20),
        a_record(0, close=1.0, is_closed=False, seen_ts=10),
    ]


@pytest.mark.parametrize("at_once", [True, False])
def test_of_several_versions_a_store_holds_the_right_one(
    destination: Destination, *, at_once: bool
) -> None:
    batches = [versions()] if at_once else [[version] for version in versions()]
    with destination.emitter() as emitter:
        for batch in batches:
            emitter.emit_records(batch)
            emitter.flush()

    closes = [close_of(row) for row in destination.rows()]
    if isinstance(destination, Parquet):
        assert closes == [4.0]
    elif isinstance(destination, CSV):  # it cannot correct a line: the correction lies beside it
        beside = pyarrow.csv.read_csv(destination.path / "candles.csv.revisions.csv")
        assert (closes, beside.column("close").to_pylist()) == ([2.0], [4.0])
    else:
        assert closes == [1.0, 2.0, 3.0, 4.0, 2.0, 1.0]
