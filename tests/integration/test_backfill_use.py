"""How people use a backfiller: from asyncio, with emitters of all kinds, with none, in threads."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streamforge_core.emitters.base import Emitter
from streamforge_core.emitters.csv_file import CSVEmitter
from streamforge_core.emitters.parquet import ParquetEmitter
from streamforge_core.errors import IncompleteBackfill
from streamforge_core.model.kline import FIELDS, Kline
from streamforge_core.simulator.binance import SimulatedBinance
from streamforge_core.simulator.faults import Fault
from streamforge_core.store.reader import Store
from tests.support.backfills import (
    BTC_1M,
    SeriesKey,
    a_backfiller,
    backfill,
    run_into,
    stored_opens,
)
from tests.support.instants import utc
from tests.support.recording_emitter import RecordingEmitter
from tests.support.simulated import NEVER_DOWN, simulated_binance

MINUTE = 60_000
SPAN = ("2024-01-15", "2024-01-17")
OPENS = list(range(utc("2024-01-15 00:00"), utc("2024-01-18 00:00"), MINUTE))
ALWAYS = 1_000_000


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatedBinance]:
    with simulated_binance("2024-08-01T00:00", outages=NEVER_DOWN) as simulated:
        yield simulated


@pytest.fixture
def exchange(server: SimulatedBinance) -> SimulatedBinance:
    server.faults.clear()
    server.requests.clear()
    return server


# --- asyncio ---


async def test_arun_does_what_run_does_and_works_in_a_thread(exchange: SimulatedBinance) -> None:
    threads = set[int]()

    class Noting(RecordingEmitter):
        def emit(self, data: Kline) -> None:
            threads.add(threading.get_ident())
            super().emit(data)

    emitter = Noting()

    report = await a_backfiller(exchange, *SPAN).register_emitter(emitter).arun()

    assert (report.rows, emitter.opens()) == (4_320, OPENS)
    assert threading.get_ident() not in threads


async def test_the_event_loop_turns_while_the_work_is_stuck(exchange: SimulatedBinance) -> None:
    release, stuck = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    class Stuck(RecordingEmitter):
        def connect(self) -> None:
            super().connect()
            loop.call_soon_threadsafe(stuck.set)
            release.wait(30)

    emitter = Stuck()
    running = asyncio.create_task(a_backfiller(exchange, *SPAN).register_emitter(emitter).arun())
    await stuck.wait()

    turns = [await asyncio.sleep(0, turn) for turn in range(1_000)]
    release.set()
    await running

    assert turns[-1] == 999
    assert emitter.opens() == OPENS


async def test_arun_hands_errors_on(exchange: SimulatedBinance) -> None:
    exchange.faults.append(Fault(".", status=404, times=ALWAYS))

    with pytest.raises(IncompleteBackfill):
        await a_backfiller(exchange, *SPAN).register_emitter(RecordingEmitter()).arun()


async def test_a_cancelled_arun_closes_its_emitters_and_keeps_what_it_had(
    exchange: SimulatedBinance, tmp_path: Path
) -> None:
    first_day = asyncio.Event()
    loop = asyncio.get_running_loop()
    backfiller = a_backfiller(
        exchange,
        *("2024-01-15", "2024-01-25"),
        downloads=1,
        progress=lambda _: loop.call_soon_threadsafe(first_day.set),
    )
    recorder = RecordingEmitter()
    backfiller.register_emitter(ParquetEmitter(tmp_path)).register_emitter(recorder)
    # Held back, so that the second day is on its way when the cancel comes.
    exchange.faults.append(Fault("2024-01-1[6-9]", status=503, times=ALWAYS))

    running = asyncio.create_task(backfiller.arun())
    await first_day.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert recorder.calls[-1] == "close"
    assert stored_opens(tmp_path)[:1_440] == OPENS[:1_440]
    exchange.faults.clear()
    resumed = a_backfiller(exchange, "2024-01-15", "2024-01-25")
    await resumed.register_emitter(ParquetEmitter(tmp_path)).arun()
    assert len(stored_opens(tmp_path)) == 11 * 1_440


async def test_an_arun_cancelled_before_it_began_fetches_nothing(
    exchange: SimulatedBinance,
) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    gate = threading.Event()
    busy = loop.run_in_executor(None, gate.wait, 30)
    emitter = RecordingEmitter()
    backfiller = a_backfiller(exchange, *SPAN).register_emitter(emitter)

    running = asyncio.create_task(backfiller.arun())
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.sleep(0)
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    await busy

    assert emitter.klines == []
    assert len(exchange.requests) == 0


# --- Without an emitter ---


def test_without_an_emitter_a_csv_of_the_default_name_is_written(
    exchange: SimulatedBinance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    a_backfiller(exchange, *SPAN).run()
    a_backfiller(exchange, *SPAN).run()

    header, *lines = (
        (tmp_path / "Binance-BTCUSDT-spot-1m-2024-01-15_2024-01-17.csv").read_text().split()
    )
    assert header.split(",") == list(FIELDS)
    assert [int(line.split(",")[3]) for line in lines] == OPENS


def test_a_file_path_is_honoured_and_a_transformer_shapes_it(
    exchange: SimulatedBinance, tmp_path: Path
) -> None:
    file = tmp_path / "deep" / "mine.csv"

    a_backfiller(
        exchange,
        *("2024-01-15 10:00", "2024-01-15 10:03"),
        file_path=file,
        transformer=lambda row: {"open_ts": row["open_ts"], "symbol": row["symbol"]},
    ).run()

    first = utc("2024-01-15 10:00")
    assert file.read_text().splitlines() == [
        "open_ts,symbol",
        *(f"{first + minute * MINUTE},BTCUSDT" for minute in range(3)),
    ]


def test_a_csv_stops_before_a_day_that_failed_and_the_next_run_brings_it_in_order(
    exchange: SimulatedBinance, tmp_path: Path
) -> None:
    file = tmp_path / "a.csv"
    exchange.faults.append(Fault("2024-01-16", status=503, times=ALWAYS))
    exchange.faults.append(Fault(f"startTime={OPENS[1440]}", status=503, times=ALWAYS))
    with pytest.raises(IncompleteBackfill):
        a_backfiller(exchange, *SPAN, file_path=file).run()
    assert len(file.read_text().splitlines()) == 1 + 1_440

    exchange.faults.clear()
    a_backfiller(exchange, *SPAN, file_path=file).run()

    lines = file.read_text().splitlines()[1:]
    assert [int(line.split(",")[3]) for line in lines] == OPENS
    assert list(tmp_path.glob("*revisions*")) == []


# --- Emitters of all kinds ---


def test_every_kind_of_emitter_gets_every_row(exchange: SimulatedBinance, tmp_path: Path) -> None:
    class OnlyEmit(Emitter):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[int] = []

        def emit(self, data: Kline) -> None:
            self.seen.append(data.open_ts)

    class Awaited(OnlyEmit):
        async def emit(self, data: Kline) -> None:  # type: ignore[override]  # both are allowed
            await asyncio.sleep(0)
            self.seen.append(data.open_ts)

    own, awaited, csv = OnlyEmit(), Awaited(), CSVEmitter(file_path=tmp_path / "a.csv")
    parquet = ParquetEmitter(tmp_path / "store")
    backfiller = a_backfiller(exchange, *SPAN)
    for emitter in (own, awaited, csv, parquet):
        backfiller.register_emitter(emitter)

    backfiller.run()

    assert own.seen == awaited.seen == OPENS
    assert stored_opens(tmp_path / "store") == OPENS
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 1 + len(OPENS)


def test_one_emitter_serves_two_backfills_in_two_threads(
    exchange: SimulatedBinance, tmp_path: Path
) -> None:
    emitter = ParquetEmitter(tmp_path)
    backfillers = [
        a_backfiller(exchange, symbol, "1m", *SPAN).register_emitter(emitter)
        for symbol in ("BTCUSDT", "ETHUSDT")
    ]

    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda backfiller: backfiller.run(), backfillers))

    assert [report.rows for report in reports] == [4_320, 4_320]
    assert stored_opens(tmp_path) == stored_opens(tmp_path, "ETHUSDT") == OPENS


def test_a_second_run_of_the_same_backfiller_works(
    exchange: SimulatedBinance, tmp_path: Path
) -> None:
    backfiller = a_backfiller(exchange, *SPAN).register_emitter(ParquetEmitter(tmp_path))

    assert [backfiller.run().rows, backfiller.run().rows] == [4_320, 0]


# --- Where a series begins and ends ---


def test_a_listing_begins_with_its_first_candle_and_nothing_before_is_a_hole(
    exchange: SimulatedBinance, tmp_path: Path
) -> None:
    # The simulator lists NEWUSDT at 2024-06-15 10:30.
    report = run_into(a_backfiller(exchange, "NEWUSDT", "1m", "2024-06-10", "2024-06-16"), tmp_path)

    listed, end = utc("2024-06-15 10:30"), utc("2024-06-17 00:00")
    assert stored_opens(tmp_path, "NEWUSDT") == list(range(listed, end, MINUTE))
    assert (report.holes, report.pending) == ((), ())
    key: SeriesKey = {**BTC_1M, "symbol": "NEWUSDT"}
    assert Store(tmp_path).missing(**key, start="2024-06-10", end="2024-06-17") == []
    exchange.requests.clear()
    run_into(a_backfiller(exchange, "NEWUSDT", "1m", "2024-06-10", "2024-06-16"), tmp_path)
    assert len(exchange.requests) == 0


def test_a_symbol_that_ended_ends_with_its_last_candle(
    exchange: SimulatedBinance, tmp_path: Path
) -> None:
    # DELISTUSDT stopped trading at 2024-03-10 03:00.
    span = ("DELISTUSDT", "1m", "2024-03-09", "2024-03-20")
    report = run_into(a_backfiller(exchange, *span), tmp_path)

    end = utc("2024-03-10 03:00")
    assert stored_opens(tmp_path, "DELISTUSDT") == list(range(utc("2024-03-09 00:00"), end, MINUTE))
    assert (report.holes, report.pending) == ((), ())
    exchange.requests.clear()
    run_into(a_backfiller(exchange, *span), tmp_path)
    assert len(exchange.requests) == 0


def test_minutes_without_a_trade_are_candles(exchange: SimulatedBinance) -> None:
    emitter = RecordingEmitter()

    backfill(exchange, "ADABTC", "1m", "2024-01-15", "2024-01-15", into=emitter)

    quiet = [kline for kline in emitter.klines if kline.volume == 0]
    assert len(emitter.klines) == 1_440
    assert 50 < len(quiet) < 300
    assert {(kline.vwap, kline.n_trades) for kline in quiet} == {(None, 0)}
