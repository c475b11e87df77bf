"""The commands, against the simulated exchange: what they print and how they exit."""

import errno
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.csv
import pytest
from click.testing import CliRunner, Result

from streamforge_core.cli import main
from streamforge_core.simulator.binance import SimulatedBinance
from streamforge_core.simulator.faults import Fault
from streamforge_core.simulator.server import clock_of
from streamforge_core.store import Store
from tests.support.full_disk import disk_refuses
from tests.support.simulated import at, simulated_binance

OUTAGE_DAY = "2024-01-03"
"""A Wednesday: the simulated exchange is down for a while."""


@pytest.fixture
def exchange(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SimulatedBinance]:
    monkeypatch.chdir(tmp_path)
    with simulated_binance() as simulated:
        for name, value in simulated.environment().items():
            monkeypatch.setenv(name, value)
        yield simulated


def streamforge(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_help_shows_examples_and_exit_codes() -> None:
    assert "could not be fetched" in streamforge("--help").output
    assert "streamforge backfill --symbol BTCUSDT" in streamforge("backfill", "--help").output


@pytest.mark.usefixtures("exchange")
def test_backfill_fills_the_store_once() -> None:
    wanted = ("backfill", "--symbol", "BTCUSDT", "--from", "2024-01-15", "--to", "2024-01-15")

    first, second = streamforge(*wanted), streamforge(*wanted)

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.output == "Binance BTCUSDT 1m: 1,440 candles in 2 requests\n"
    assert second.output == "Binance BTCUSDT 1m: 0 candles in 0 requests\n"


@pytest.mark.usefixtures("exchange")
def test_backfill_tells_the_holes_with_their_verdicts() -> None:
    result = streamforge(
        *("backfill", "--symbol", "ADABTC", "--from", OUTAGE_DAY, "--to", OUTAGE_DAY, "--json")
    )

    told = json.loads(result.stdout)
    (hole,) = told["holes"]
    assert told["rows"] + hole["count"] == 1_440
    assert hole["verdict"] == "exchange_outage"


@pytest.mark.usefixtures("exchange")
def test_several_symbols_go_into_one_csv_file_when_asked() -> None:
    result = streamforge(
        *("backfill", "--symbol", "BTCUSDT,ETHUSDT", "--timeframe", "1h"),
        *("--from", "2024-01-15", "--to", "2024-01-15", "--csv", "candles.csv"),
    )

    symbols = pyarrow.csv.read_csv("candles.csv").column("symbol").to_pylist()
    assert result.exit_code == 0
    assert symbols == ["BTCUSDT"] * 24 + ["ETHUSDT"] * 24


@pytest.mark.usefixtures("exchange")
def test_without_a_symbol_it_loads_what_the_settings_declare() -> None:
    Path("streamforge.yaml").write_text(
        "store: candles\n"
        "sources:\n"
        "  - {source: Binance, symbols: [ETHUSDT], timeframe: 1h, start: 2024-01-15}\n"
    )

    result = streamforge("backfill", "--to", "2024-01-16")

    assert result.output.startswith("Binance ETHUSDT 1h: 48 candles")
    assert Path("candles", "source=Binance", "symbol=ETHUSDT").is_dir()


def test_a_day_that_cannot_be_fetched_exits_3_and_the_others_are_stored(
    exchange: SimulatedBinance,
) -> None:
    exchange.faults.append(Fault("/2024-01-16", status=403, body="no", times=99))
    exchange.faults.append(Fault("/api/v3/klines", status=403, body="no", times=99))
    exchange.faults.append(
        Fault("/data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2024-01-16", status=404, times=99)
    )

    result = streamforge(
        *("backfill", "--symbol", "BTCUSDT", "--timeframe", "1h"),
        *("--from", "2024-01-15", "--to", "2024-01-17"),
    )

    assert result.exit_code == 3
    assert "24 candles in 1 ranges could not be fetched, 48 were" in result.stderr
    assert "2024-01-16" in result.stderr


@pytest.mark.usefixtures("exchange")
def test_an_unknown_symbol_exits_1_and_shows_the_format() -> None:
    result = streamforge("backfill", "--symbol", "NOSUCH", "--from", "2024-01-15")

    assert result.exit_code == 1
    assert "lists no symbol 'NOSUCH'" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("backfill", "--symbol", "BTCUSDT"), "--from is missing"),
        (("backfill", "--symbol", "BTC-USDT", "--from", "2024-01-15"), "Write 'BTCUSDT'"),
        (("backfill", "--symbol", "BTCUSDT", "--from", "15.1.2024"), "is not a date"),
        (("stream", "nothing"), "There is no settings file"),
        (("store", "holes", "--symbol", "B", "--from", "2099-01-01"), "lies in the future"),
    ],
)
def test_wrong_arguments_exit_2_and_say_what_is_right(
    arguments: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    result = streamforge(*arguments)

    assert result.exit_code == 2
    assert says in result.stderr


@pytest.mark.usefixtures("exchange")
def test_a_full_disk_exits_4_and_leaves_no_candle_half_written() -> None:
    with disk_refuses(errno.ENOSPC):
        result = streamforge(
            "backfill", "--symbol", "BTCUSDT", "--from", "2024-01-15", "--to", "2024-01-15"
        )

    assert result.exit_code == 4
    assert "StorageFull" in result.stderr
    assert list(Path("data").rglob("*.parquet")) == []


@pytest.mark.usefixtures("exchange")
def test_a_store_that_cannot_be_one_exits_2() -> None:
    Path("data").write_text("a file where the store should be")

    result = streamforge(
        "backfill", "--symbol", "BTCUSDT", "--from", "2024-01-15", "--to", "2024-01-15"
    )

    assert result.exit_code == 2
    assert "data cannot hold a Parquet store" in result.stderr


@pytest.mark.usefixtures("exchange")
def test_an_interrupt_exits_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("streamforge_core.runners.backfilling.Backfilling.run", interrupted)

    result = streamforge("backfill", "--symbol", "BTCUSDT", "--from", "2024-01-15")

    assert result.exit_code == 130
    assert "the next run goes on" in result.stderr


@pytest.mark.usefixtures("exchange")
def test_the_store_is_told_series_by_series() -> None:
    streamforge("backfill", "--symbol", "ADABTC", "--from", OUTAGE_DAY, "--to", OUTAGE_DAY)

    as_text = streamforge("store", "coverage")
    (row,) = json.loads(streamforge("store", "coverage", "--json").output)
    holes = json.loads(
        streamforge(
            *("store", "holes", "--symbol", "ADABTC", "--json"),
            *("--from", OUTAGE_DAY, "--to", OUTAGE_DAY),
        ).output
    )

    assert "ADABTC" in as_text.output
    assert row["rows"] + row["exchange_outage"] == row["expected"] == 1_440
    assert sum(hole["count"] for hole in holes) == row["exchange_outage"]


def test_an_empty_store_is_no_error(tmp_path: Path) -> None:
    result = streamforge("store", "coverage", "--store", str(tmp_path))

    assert (result.exit_code, result.output) == (0, "Nothing to show.\n")


@pytest.mark.usefixtures("exchange")
def test_export_writes_the_range() -> None:
    streamforge("backfill", "--symbol", "BTCUSDT", "--from", "2024-01-15", "--to", "2024-01-16")

    result = streamforge(
        *("store", "export", "--symbol", "BTCUSDT", "--output", "btc.csv"),
        *("--from", "2024-01-15", "--to", "2024-01-15"),
    )

    opens = pyarrow.csv.read_csv("btc.csv").column("open_ts").to_pylist()
    assert result.output == "1,440 candles written to btc.csv\n"
    assert (opens[0], opens[-1]) == (at("2024-01-15"), at("2024-01-15T23:59"))


@pytest.fixture
def fast_exchange(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SimulatedBinance]:
    """Serve a market in which a minute passes in half a second."""
    monkeypatch.chdir(tmp_path)
    with simulated_binance(clock=clock_of(120, "2024-01-15")) as simulated:
        for name, value in simulated.environment().items():
            monkeypatch.setenv(name, value)
        yield simulated


@pytest.mark.usefixtures("fast_exchange")
def test_stream_prints_closed_candles_until_the_limit() -> None:
    result = streamforge("stream", "--symbol", "BTCUSDT", "--limit", "2", "--json")

    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert result.exit_code == 0
    assert (first["symbol"], first["timeframe"], first["is_closed"]) == ("BTCUSDT", "1m", True)
    assert second["open_ts"] - first["open_ts"] == 60_000


@pytest.mark.usefixtures("fast_exchange")
def test_stream_fills_the_destinations_it_is_given() -> None:
    result = streamforge(
        *("stream", "--symbol", "BTCUSDT", "--limit", "1"),
        *("--csv", "live.csv", "--store", "candles"),
    )

    (row,) = pyarrow.csv.read_csv("live.csv").to_pylist()
    stored = Store("candles").read(source="Binance", symbol="BTCUSDT", timeframe="1m")
    assert "BTCUSDT" in result.stdout
    assert stored.column("open_ts").to_pylist() == [row["open_ts"]]


@pytest.mark.usefixtures("fast_exchange")
def test_a_declared_stream_uses_its_declared_destinations() -> None:
    Path("streamforge.yaml").write_text(
        "emitters:\n"
        "  - {type: csv, name: eth, file_path: eth.csv}\n"
        "streams:\n"
        "  - {name: spot, source: Binance, symbols: [ETHUSDT], timeframe: 1m,\n"
        "     emitters: [eth, store]}\n"
    )

    result = streamforge("stream", "spot", "--limit", "1")

    assert result.exit_code == 0
    assert pyarrow.csv.read_csv("eth.csv").column("symbol").to_pylist() == ["ETHUSDT"]
    assert [series.symbol for series in Store("data").series()] == ["ETHUSDT"]


def test_a_stream_that_is_not_declared_names_those_that_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("streamforge.yaml").write_text(
        "streams:\n  - {name: spot, source: Binance, symbols: [ETHUSDT], timeframe: 1m}\n"
    )

    result = streamforge("stream", "futures")

    assert result.exit_code == 2
    assert "There is no stream 'futures'. Name one of spot" in result.stderr
