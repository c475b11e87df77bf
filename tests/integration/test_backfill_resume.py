"""Run again, killed, or with files deleted: the same bytes, and nothing asked for twice."""

import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamforge_core.emitters.parquet import ParquetEmitter
from streamforge_core.simulator.binance import SimulatedBinance
from streamforge_core.simulator.faults import Fault
from streamforge_core.store.reader import Store
from tests.support.backfills import (
    BTC_1M,
    a_backfiller,
    asked_files,
    backfill,
    backfill_process,
    pages,
    parquet_files,
)
from tests.support.simulated import simulated_binance

# 2024-01-17 is a Wednesday, the simulator's day of an outage.
SPAN = ("2024-01-13", "2024-01-22")
DAYS = [f"2024-01-{day}" for day in range(13, 23)]
SPOILED = ("2024-01-15", "2024-01-20")
KILLS = 10


@pytest.fixture(scope="module")
def exchange() -> Iterator[SimulatedBinance]:
    """An exchange two of whose archive files never fit their checksums."""
    with simulated_binance() as simulated:
        for day in SPOILED:
            simulated.faults.append(Fault(f"{day}.zip$", corrupt=True, times=1_000_000))
        yield simulated


@pytest.fixture(scope="module")
def whole(exchange: SimulatedBinance, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store that an uninterrupted backfill filled."""
    store = tmp_path_factory.mktemp("whole")
    backfill(exchange, *SPAN, into=store)
    return store


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def test_the_store_holds_the_range_and_explains_its_outage(whole: Path) -> None:
    store = Store(whole)

    (hole,) = store.missing(**BTC_1M, start=SPAN[0], end="2024-01-23")
    sources = store.records(**BTC_1M).column("provenance").to_pylist()
    assert hole.is_final()
    assert len(sources) + hole.count == 10 * 1_440
    assert sources.count("rest") == 2 * 1_440
    assert sorted(parquet_files(whole)) == [
        f"source=Binance/symbol=BTCUSDT/timeframe=1m/period={day}/part-0.parquet" for day in DAYS
    ]


def test_a_second_run_asks_the_archive_for_nothing_and_changes_no_byte(
    exchange: SimulatedBinance, copy: Path, whole: Path
) -> None:
    exchange.requests.clear()

    report = backfill(exchange, *SPAN, into=copy)

    assert (report.rows, len(exchange.requests)) == (0, 0)
    assert parquet_files(copy) == parquet_files(whole)


def test_the_same_range_in_other_pieces_gives_the_same_bytes(
    exchange: SimulatedBinance, whole: Path, tmp_path: Path
) -> None:
    for start, end in [
        ("2024-01-19 07:00", SPAN[1]),
        (SPAN[0], "2024-01-14 03:03"),
        ("2024-01-14", "2024-01-19"),
    ]:
        backfill(exchange, start, end, into=tmp_path)

    assert parquet_files(tmp_path) == parquet_files(whole)


def test_three_deleted_days_are_exactly_what_is_fetched_again(
    exchange: SimulatedBinance, copy: Path, whole: Path
) -> None:
    for day in ("2024-01-13", "2024-01-17", "2024-01-18"):
        shutil.rmtree(copy / f"source=Binance/symbol=BTCUSDT/timeframe=1m/period={day}")
    exchange.requests.clear()

    backfill(exchange, *SPAN, into=copy)

    assert asked_files(exchange) == ["2024-01-13", "2024-01-17", "2024-01-18"]
    assert pages(exchange) == []
    assert parquet_files(copy) == parquet_files(whole)


def test_a_second_empty_emitter_gets_everything_and_the_first_one_nothing(
    exchange: SimulatedBinance, copy: Path, whole: Path, tmp_path: Path
) -> None:
    second = tmp_path / "second"
    written = {path: path.stat().st_mtime_ns for path in copy.rglob("*.parquet")}
    backfiller = a_backfiller(exchange, *SPAN)

    backfiller.register_emitter(ParquetEmitter(copy)).register_emitter(ParquetEmitter(second)).run()

    assert parquet_files(second) == parquet_files(copy) == parquet_files(whole)
    assert written == {path: path.stat().st_mtime_ns for path in copy.rglob("*.parquet")}


def test_killed_at_ten_random_moments_and_resumed_the_bytes_are_the_same(
    whole: Path, tmp_path: Path
) -> None:
    chance = random.Random(20240117)  # noqa: S311 - moments, not secrets
    expected, days_had, killed = parquet_files(whole), set[int](), 0
    slowly = [
        *(Fault(f"{day}.zip$", corrupt=True, times=1_000_000, delay_s=0.03) for day in SPOILED),
        Fault("zip|klines", delay_s=0.03, times=1_000_000),
    ]
    with simulated_binance(faults=slowly) as exchange:
        for moment in range(KILLS):
            store = tmp_path / str(moment)
            exchange.requests.clear()
            process = backfill_process(exchange, store, "BTCUSDT", *SPAN)
            kill(process, exchange, after=chance.randint(1, 32), delay_s=chance.uniform(0, 0.04))
            killed += process.returncode == -signal.SIGKILL
            partly = parquet_files(store)
            days_had.add(len(partly))

            backfill(exchange, *SPAN, into=store)

            # Each file was there whole or not at all, before as after.
            assert partly.items() <= expected.items()
            assert parquet_files(store) == expected
            assert list((store / "_tmp").iterdir()) == []
            (hole,) = Store(store).missing(**BTC_1M, start=SPAN[0], end="2024-01-23")
            assert hole.is_final()
    assert killed >= KILLS - 2
    assert len(days_had) > 1


def kill(
    process: "subprocess.Popen[str]", exchange: SimulatedBinance, *, after: int, delay_s: float
) -> None:
    """Kill a process some time after its so-and-so-many-th request."""
    while len(exchange.requests) < after and process.poll() is None:
        time.sleep(0.002)
    time.sleep(delay_s)
    process.kill()
    process.communicate()
