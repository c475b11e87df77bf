"""Backfills against a simulated exchange, in this process or in one of their own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, TypedDict

from streamforge_core.emitters.base import Emitter
from streamforge_core.emitters.parquet import ParquetEmitter
from streamforge_core.model.columns import instants
from streamforge_core.runners.backfill_bindings import BinanceBackfilling
from streamforge_core.runners.backfill_run import BackfillReport
from streamforge_core.runners.endpoints import Endpoints
from streamforge_core.simulator.binance import SimulatedBinance
from streamforge_core.store.reader import Store

ROOT = Path(__file__).resolve().parents[2]


class SeriesKey(TypedDict):
    """What names a series to a store."""

    source: str
    symbol: str
    timeframe: str


BTC_1M: SeriesKey = {"source": "Binance", "symbol": "BTCUSDT", "timeframe": "1m"}


def a_backfiller(exchange: SimulatedBinance, *args: Any, **options: Any) -> BinanceBackfilling:  # noqa: ANN401 - passed on
    """Return a backfiller of an exchange and its clock; symbol and timeframe have defaults.

    `rest` and `archive` among the options are URLs in place of the exchange's.
    """
    if len(args) < 3:
        args = ("BTCUSDT", "1m", *args)
    options.setdefault("clock", exchange.clock)
    endpoints: Endpoints = {
        "REST": options.pop("rest", exchange.url),
        "ARCHIVE": options.pop("archive", exchange.url),
    }
    return BinanceBackfilling(*args, endpoints=endpoints, **options)


def run_into(backfiller: BinanceBackfilling, store: Path) -> BackfillReport:
    """Run a backfiller into the Parquet store at a path."""
    return backfiller.register_emitter(ParquetEmitter(store)).run()


def backfill(
    exchange: SimulatedBinance,
    *args: Any,  # noqa: ANN401 - passed on
    into: Emitter | Path,
    **options: Any,  # noqa: ANN401 - likewise
) -> BackfillReport:
    """Run a backfill into an emitter, or into the Parquet store at a path."""
    emitter = ParquetEmitter(into) if isinstance(into, Path) else into
    return a_backfiller(exchange, *args, **options).register_emitter(emitter).run()


def asked_files(exchange: SimulatedBinance) -> list[str]:
    """Return what was asked of the archive, checksums left out: "2024-01-15", sorted."""
    paths = [request.path for request in exchange.requests.to(r"\.zip$")]
    return sorted(path.removesuffix(".zip").rpartition("-1m-")[2] for path in paths)


def pages(exchange: SimulatedBinance) -> list[dict[str, str]]:
    """Return the parameters of every REST request for candles."""
    return [request.parameters for request in exchange.requests.to("/klines$")]


def parquet_files(store: Path) -> dict[str, bytes]:
    """Return every partition file of a store, by its path in it."""
    found = sorted(store.rglob("*.parquet"))
    return {str(path.relative_to(store)): path.read_bytes() for path in found}


def stored_opens(store: Path, symbol: str = "BTCUSDT") -> list[int]:
    """Return the opens of a symbol's minutes that a store holds."""
    table = Store(store).read(source="Binance", symbol=symbol, timeframe="1m")
    opens: list[int] = instants(table).tolist()
    return opens


def backfill_process(
    exchange: SimulatedBinance, store: Path, *args: str, **environment: str
) -> "subprocess.Popen[str]":
    """Start a process that backfills into a Parquet store and prints a digest of its rows."""
    return subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "tests.support.backfill_process", str(store), *args],
        cwd=ROOT,
        env={**os.environ, **exchange.environment(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
