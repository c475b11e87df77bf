"""The command line: thin commands over the public face."""

from __future__ import annotations  # the types of heavy parts are not loaded for --help

import asyncio
import contextlib
import dataclasses
import json
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

import streamforge_core as sf
from streamforge_core.errors import (
    ConfigError,
    EmitterError,
    IncompleteBackfill,
    MissingExtra,
    StreamForgeError,
)
from streamforge_core.model.date_range import parse_range
from streamforge_core.model.timeframe import iso
from streamforge_core.runners.endpoints import clock

_EXIT_CODES: Final = ((IncompleteBackfill, 3), (ConfigError, 2), (EmitterError, 4))
_INTERRUPTED: Final = 130
_DEFAULT_STORE: Final = Path("data")

_EPILOG: Final = """\
\b
Exit codes:
    0  done
    1  the exchange or the network refused
    2  wrong arguments or settings; nothing was done
    3  some ranges could not be fetched; the rest is stored, run it again
    4  a destination failed: full disk, no rights, a broken file
  130  interrupted
"""


class _Group(click.Group):
    """Turns errors raised on purpose into one line on standard error and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's signature
        try:
            return super().invoke(ctx)
        except StreamForgeError as error:
            click.echo(f"{type(error).__name__}: {error}", err=True)
            ctx.exit(next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), 1))
        except KeyboardInterrupt:
            click.echo("Interrupted. What was stored stays; the next run goes on.", err=True)
            ctx.exit(_INTERRUPTED)


def _listed(_: click.Context, __: click.Parameter, values: Sequence[str]) -> list[str]:
    """Accept an option several times, or once with commas."""
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
_settings = click.option(
    "--settings",
    "settings_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Settings file instead of streamforge.yaml.",
)
_store = click.option(
    "--store",
    "store",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="STREAMFORGE_STORE",
    help="Folder of the Parquet store (default: data).",
)


@click.group(cls=_Group, epilog=_EPILOG)
@click.version_option(sf.__version__, prog_name="streamforge")
@click.option("-v", "--verbose", is_flag=True, help="Log what happens, on standard error.")
def main(*, verbose: bool) -> None:
    """Market candles, live and historical: each exactly once, gaps explained."""
    if verbose:
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")


@main.command()
@click.option("--source", default="Binance", show_default=True, help="Market to load from.")
@click.option("--symbol", "symbols", multiple=True, callback=_listed, help="As it writes them.")
@click.option("--timeframe", default="1m", show_default=True)
@click.option("--from", "from_date", help="2024-01-15, or an instant; UTC, inclusive.")
@click.option("--to", "to_date", default="now", show_default=True, help="A date includes its day.")
@click.option("--csv", "csv_path", type=click.Path(dir_okay=False), help="Write this CSV file.")
@_store
@_settings
@_as_json
def backfill(
    source: str,
    symbols: list[str],
    timeframe: str,
    from_date: str | None,
    to_date: str,
    csv_path: str | None,
    store: Path | None,
    settings_path: Path | None,
    *,
    as_json: bool,
) -> None:
    """Load history; a second run fetches only what is missing.

    Without --symbol it loads everything that streamforge.yaml declares.

    \b
    Examples:
      streamforge backfill --symbol BTCUSDT --from 2024-01-01 --to 2024-01-31
      streamforge backfill --symbol BTCUSDT,ETHUSDT --from 2024-01-01 --csv candles.csv
      streamforge backfill
    """
    if symbols:
        if from_date is None:
            raise ConfigError("--from is missing: the first day to load, such as 2024-01-01.")
        jobs = [(source, symbol, timeframe, from_date, to_date) for symbol in symbols]
    else:
        declared = sf.load_settings(settings_path)
        store = store or declared.store
        jobs = [
            (each.source, symbol, each.timeframe, from_date or each.start.isoformat(), to_date)
            for each in declared.sources
            for symbol in each.symbols
        ]
    _backfill_all(jobs, _destination(store, csv_path), as_json=as_json)


def _destination(store: Path | None, csv_path: str | None) -> Callable[[str], sf.Emitter]:
    if csv_path and not store:
        return lambda _: sf.CSVEmitter(file_path=csv_path)
    return lambda _: sf.ParquetEmitter(store or _DEFAULT_STORE)


def _backfill_all(
    jobs: Sequence[tuple[str, str, str, str, str]],
    destination: Callable[[str], sf.Emitter],
    *,
    as_json: bool,
) -> None:
    """Run every job; one that stays incomplete does not keep the others from running."""
    incomplete: IncompleteBackfill | None = None
    for source, symbol, timeframe, from_date, to_date in jobs:
        backfiller = sf.backfilling_for(source)(symbol, timeframe, from_date, to_date)
        backfiller.register_emitter(destination(symbol))
        try:
            _report(backfiller.run(), as_json=as_json)
        except IncompleteBackfill as error:
            click.echo(str(error), err=True)
            incomplete = error
    if incomplete:
        raise incomplete


def _report(report: sf.BackfillReport, *, as_json: bool) -> None:
    holes = [_hole_row(hole) for hole in report.holes]
    if as_json:
        series = report.series
        row = {"source": series.source, "symbol": series.symbol, "timeframe": series.timeframe}
        click.echo(json.dumps({**row, "rows": report.rows, "holes": holes}))
        return
    click.echo(f"{report.series}: {report.rows:,} candles in {report.requests} requests")
    if holes:
        _print_rows(holes, as_json=False)


@main.command()
@click.argument("name", required=False)
@click.option("--source", default="Binance", show_default=True)
@click.option("--symbol", "symbols", multiple=True, callback=_listed)
@click.option("--timeframe", default="1m", show_default=True)
@click.option("--aggregate", "targets", multiple=True, callback=_listed, help="Such as 5m,1h.")
@click.option("--warmup/--no-warmup", default=False, help="Load history first.")
@click.option("--csv", "csv_path", type=click.Path(dir_okay=False), help="Write this CSV file.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many candles.")
@_store
@_settings
@_as_json
def stream(
    name: str | None,
    source: str,
    symbols: list[str],
    timeframe: str,
    targets: list[str],
    *,
    warmup: bool,
    csv_path: str | None,
    limit: int | None,
    store: Path | None,
    settings_path: Path | None,
    as_json: bool,
) -> None:
    """Stream closed candles until interrupted; NAME is a stream of streamforge.yaml.

    \b
    Examples:
      streamforge stream --symbol BTCUSDT --aggregate 5m,1h --warmup
      streamforge stream --symbol BTCUSDT,ETHUSDT --store data --json
      streamforge stream binance-spot
    """
    if symbols:
        wanted = sf.DataInput(
            type="kline", symbols=symbols, timeframe=timeframe, aggregate_list=targets
        )
        runner = sf.runner_for(source)(stream_input=wanted, active_warmup=warmup)
        if csv_path:
            runner.register_emitter(sf.CSVEmitter(file_path=csv_path))
        if store:
            runner.register_emitter(sf.ParquetEmitter(store))
    else:
        runner = _declared_runner(name, settings_path)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_print_stream(runner, limit, as_json=as_json))


def _declared_runner(name: str | None, settings_path: Path | None) -> sf.Runner:
    settings = sf.load_settings(settings_path)
    known = {each.name: each for each in settings.streams}
    if name not in known:
        raise ConfigError(
            f"There is no stream {name!r}. Name one of {', '.join(known) or 'none declared'}, "
            "or give --symbol."
        )
    declared = known[name]
    runner: sf.Runner = sf.runner_for(declared.source)(
        stream_input=sf.DataInput(
            type="kline",
            symbols=list(declared.symbols),
            timeframe=declared.timeframe,
            aggregate_list=list(declared.aggregate_list),
        ),
        active_warmup=declared.active_warmup,
        emit_warmup=declared.emit_warmup,
    )
    beside = {each.name: each for each in settings.emitters}
    for emitter in declared.emitters:
        runner.register_emitter(
            sf.make_emitter(beside[emitter])
            if emitter in beside
            else sf.ParquetEmitter(settings.store)
        )
    return runner


async def _print_stream(runner: sf.Runner, limit: int | None, *, as_json: bool) -> None:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine run by asyncio.run has one
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    seen = 0
    async with contextlib.aclosing(runner.stream()) as candles:
        async for kline in candles:
            click.echo(json.dumps(kline.model_dump()) if as_json else _kline_line(kline))
            seen += 1
            if seen == limit:
                return


def _kline_line(kline: sf.Kline) -> str:
    when = iso(kline.open_ts)
    return (
        f"{when}  {kline.symbol:<12} {kline.timeframe:<4} "
        f"O {kline.open:<12g} H {kline.high:<12g} L {kline.low:<12g} C {kline.close:<12g} "
        f"V {kline.volume:g}"
    )


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8900, show_default=True, type=click.IntRange(0, 65535))
@click.option("--symbols", multiple=True, callback=_listed, help="More symbols to invent.")
@click.option("--archive-dir", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--speed", default=1.0, show_default=True, help="Simulated seconds per second.")
@click.option("--start", help="Instant at which the simulation begins; default: now.")
@click.option("--seed", default=0, show_default=True, help="Another number, another market.")
def simulate(
    host: str,
    port: int,
    symbols: list[str],
    archive_dir: Path | None,
    speed: float,
    start: str | None,
    seed: int,
) -> None:
    """Serve a simulated Binance on loopback until interrupted.

    It prints the variables that point StreamForge at it.

    \b
    Examples:
      streamforge simulate
      streamforge simulate --speed 60 --start 2024-01-01
      streamforge simulate --archive-dir binance_spot_daily
    """
    try:
        from streamforge_core.simulator.server import serve
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"The simulator needs {error.name}. Install streamforge-dagster[simulator]."
        ) from error
    serve(
        host=host,
        port=port,
        symbols=symbols,
        archive_dir=archive_dir,
        speed=speed,
        start=start,
        seed=seed,
        announce=click.echo,
    )


@main.group()
def store() -> None:
    """Look into the Parquet store."""


@store.command()
@_store
@_as_json
def coverage(store: Path | None, *, as_json: bool) -> None:
    """Print, for every series, what is there and what is missing.

    \b
    Examples:
      streamforge store coverage
      streamforge store coverage --store data --json
    """
    rows = [dataclasses.asdict(row) for row in sf.Store(store or _DEFAULT_STORE).coverage()]
    _print_rows(rows, as_json=as_json)


def _of_a_series(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--to", "to_date", default="now", show_default=True),
        click.option("--from", "from_date", required=True, help="UTC, inclusive."),
        click.option("--timeframe", default="1m", show_default=True),
        click.option("--symbol", required=True),
        click.option("--source", default="Binance", show_default=True),
        _store,
    ):
        command = option(command)
    return command


@store.command()
@_of_a_series
@_as_json
def holes(
    source: str,
    symbol: str,
    timeframe: str,
    from_date: str,
    to_date: str,
    store: Path | None,
    *,
    as_json: bool,
) -> None:
    """Print every run of missing candles, and why nothing is there.

    \b
    Example:
      streamforge store holes --symbol BTCUSDT --from 2023-03-24 --to 2023-03-24
    """
    span = parse_range(from_date, to_date, now_ms=clock().now_ms())
    found = sf.Store(store or _DEFAULT_STORE).missing(
        source=source, symbol=symbol, timeframe=timeframe, start=span.start_ms, end=span.end_ms
    )
    _print_rows([_hole_row(hole) for hole in found], as_json=as_json)


@store.command()
@_of_a_series
@click.option("--output", required=True, help="File to write: .csv or .parquet.")
def export(
    source: str,
    symbol: str,
    timeframe: str,
    from_date: str,
    to_date: str,
    store: Path | None,
    output: str,
) -> None:
    """Write a series into one CSV or Parquet file.

    \b
    Example:
      streamforge store export --symbol BTCUSDT --from 2024-01-01 --output btc.csv
    """
    span = parse_range(from_date, to_date, now_ms=clock().now_ms())
    from streamforge_core.runners.export import export_table

    table = sf.Store(store or _DEFAULT_STORE).read(
        source=source, symbol=symbol, timeframe=timeframe, start=span.start_ms, end=span.end_ms
    )
    export_table(table, output)
    click.echo(f"{table.num_rows:,} candles written to {output}")


def _hole_row(hole: sf.Hole) -> dict[str, Any]:
    return {
        "first": iso(hole.first_open_ts),
        "last": iso(hole.last_open_ts),
        "count": hole.count,
        "verdict": f"{hole.verdict} (provisional)" if hole.provisional else hole.verdict,
        "evidence": "; ".join(f"{each.asked}: {each.answer}" for each in hole.evidence),
    }


def _print_rows(rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(rows, default=str))
        return
    if not rows:
        click.echo("Nothing to show.")
        return
    table = Table(box=None, pad_edge=False)
    for name in rows[0]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    Console(width=None if sys.stdout.isatty() else 200).print(table)
