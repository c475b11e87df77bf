"""`python -m streamforge_dagster.demo`: the UI, a simulated exchange, a first backfill.

With `--real` it is the UI alone, against the real exchanges.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import click

import streamforge_core as sf
from streamforge_dagster.demo.place import Place, demo_place, environment_of, only_one, real_place
from streamforge_dagster.demo.processes import Child, DemoError, check_port
from streamforge_dagster.demo.webserver import (
    BACKFILL_SUCCEEDED,
    NotReachable,
    Webserver,
    has_ended,
)
from streamforge_dagster.partitions import asset_key, name_of, symbols_of

SOURCE: Final = "Binance"
"""The exchange that is simulated."""

_FIRST_DAYS: Final = 3
_POLL_S: Final = 0.5
_SIGN_OF_LIFE_S: Final = 10.0
_START_PATIENCE_S: Final = 180.0
_BACKFILL_PATIENCE_S: Final = 600.0
_INTERRUPTED: Final = 130


def main(arguments: list[str] | None = None) -> int:
    """Run until interrupted; return the exit code."""
    options = _options(arguments)
    # SIGINT too: a shell that starts a command in the background has it ignored, by all children.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        check_port(options.port, "dev" if options.real else "demo")
        place = real_place() if options.real else demo_place(options.state)
        with only_one(place), ExitStack() as stack:
            _run(options, place, stack)
    except (DemoError, sf.StreamForgeError) as error:
        click.echo(f"\n{error}", err=True)
        return 1
    except KeyboardInterrupt:
        _say("Everything has stopped.")
        return _INTERRUPTED
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="streamforge_dagster.demo", description=__doc__)
    parser.add_argument("--port", type=int, default=3000, help="port of the UI on 127.0.0.1")
    parser.add_argument("--real", action="store_true", help="real exchanges, the real store")
    parser.add_argument("--state", type=Path, help="folder for everything the demo writes")
    parser.add_argument(
        "--stop-with-parent", action="store_true", help="stop when the starting process ends"
    )
    return parser.parse_args(arguments)


def _leave(number: int, frame: object) -> None:
    del number, frame
    raise KeyboardInterrupt


def _run(options: argparse.Namespace, place: Place, stack: ExitStack) -> None:
    is_needed = _parent_lives() if options.stop_with_parent else lambda: True
    settings = sf.load_settings()
    environment = environment_of(place)
    migration = stack.enter_context(
        _dagster("dagster instance migrate", ["instance", "migrate"], place, environment)
    )
    if not options.real:
        environment |= _simulator(place, settings, stack)
    migration.wait()
    _say("Starting Dagster's webserver, daemon and code server")
    command = ["dev", "-h", "127.0.0.1", "-p", str(options.port)]
    command += ["-w", str(place.root / "workspace.yaml")]
    dagster = stack.enter_context(_dagster("dagster dev", command, place, environment))
    stack.callback(_say, "Stopping: a few seconds")
    web = Webserver(options.port)
    _wait("the UI", web.has_loaded, dagster, is_needed, _START_PATIENCE_S)
    if options.real:
        _say(f"Open {web.url}/assets. Exchanges are real, candles go to {settings.store}.")
    else:
        _first_backfill(web, settings, dagster, is_needed)
    _say("Ctrl-C stops everything.")
    while is_needed():
        dagster.check()
        time.sleep(_POLL_S)


def _dagster(name: str, command: list[str], place: Place, environment: Mapping[str, str]) -> Child:
    log = place.files / f"{command[-1] if command[0] == 'instance' else command[0]}.log"
    return Child(name, ["-m", "dagster", *command], cwd=place.cwd, environment=environment, log=log)


def _simulator(place: Place, settings: sf.Settings, stack: ExitStack) -> dict[str, str]:
    """Start the exchange; return the variables that lead to it."""
    symbols = ",".join(_symbols(settings))
    child = stack.enter_context(
        Child(
            "The simulated exchange",
            ["-m", "streamforge_core", "simulate", "--port", "0", "--symbols", symbols],
            cwd=place.root,
            environment=environment_of(place),
            log=place.files / "simulator.log",
        )
    )
    _say("Starting a simulated Binance")
    _wait("the exchange", lambda: "Simulated" in child.output(), child, lambda: True, 60.0)
    exported = (
        line.removeprefix("export ").partition("=")
        for line in child.output().splitlines()
        if line.startswith("export ")
    )
    return {name: value for name, _, value in exported}


def _symbols(settings: sf.Settings) -> list[str]:
    """Return the symbols of the simulated exchange, each once."""
    entries = (each for each in settings.sources if each.source == SOURCE)
    symbols = list(dict.fromkeys(symbol for each in entries for symbol in each.symbols))
    if not symbols:
        raise DemoError(f"streamforge.yaml declares no symbols of {SOURCE}: nothing to show.")
    return symbols


def _first_backfill(
    web: Webserver, settings: sf.Settings, dagster: Child, is_needed: Callable[[], bool]
) -> None:
    """Fill a few days, so that there is something to look at."""
    declared = next(each for each in settings.sources if each.source == SOURCE)
    base = asset_key(SOURCE, declared.timeframe).path
    assets = [base, *(asset_key(SOURCE, target).path for target in declared.rollups)]
    symbols = _symbols(settings)
    for symbol in symbols:
        web.add_symbol(symbols_of(SOURCE).name or "", symbol)
    shown = list(dict.fromkeys((symbols[0], symbols[-1])))
    known = web.days(base)
    days = known[-_FIRST_DAYS:]
    backfill = web.launch_backfill(assets, [f"{day}|{each}" for day in days for each in shown])
    page = f"{web.url}/runs/b/{backfill}"
    _say(f"First backfill: {days[0]} to {days[-1]}, {' and '.join(shown)}. Watch it at {page}")
    status = ""

    def has_finished() -> bool:
        nonlocal status
        status = web.backfill_status(backfill)
        return has_ended(status)

    _wait("the first backfill", has_finished, dagster, is_needed, _BACKFILL_PATIENCE_S)
    if status != BACKFILL_SUCCEEDED:
        _say(f"The first backfill ended as {status}: {page} says why. Logs: {dagster.log}")
        return
    _say("The first backfill is green.")
    _say(
        _NEXT.format(
            url=web.url,
            asset="/".join(base),
            group=name_of(SOURCE),
            days=f"[{known[-7:][0]}...{known[-1]}]",
            shown=" and ".join(shown),
            thin=shown[-1],
        )
    )


_NEXT: Final = """
  Open   {url}/assets/{asset}
  Click  "Materialize...", write {days} into "date", tick {shown} in "symbol",
         and click "Launch backfill": seven days of two symbols, green within a minute or so.
  Then   the tab "Partitions": a day, a symbol, and there are its row count, its holes with their
         verdicts and, behind "Show Markdown", a plot of its prices.

  {thin} has minutes without trades, and on Wednesdays the exchange is down for a while: the
  partitions are green all the same, as each missing candle is explained.
  Higher timeframes, derived from it: {url}/asset-groups/{group}
"""


def _wait(
    what: str,
    is_ready: Callable[[], bool],
    child: Child,
    is_needed: Callable[[], bool],
    patience_s: float,
) -> None:
    """Wait until something is ready, with a sign of life now and then.

    Raises:
        DemoError: The process it depends on died, or it takes too long.
        KeyboardInterrupt: Nobody needs it any more.
    """
    begun = time.monotonic()
    told = begun
    while not _answers_yes(is_ready):
        child.check()
        if not is_needed():
            raise KeyboardInterrupt
        now = time.monotonic()
        if now - begun > patience_s:
            raise DemoError(f"{what} was not ready after {patience_s:.0f} s. See {child.log}.")
        if now - told >= _SIGN_OF_LIFE_S:
            told = now
            _say(f"  waiting for {what}, {now - begun:.0f} s")
        time.sleep(_POLL_S)


def _answers_yes(is_ready: Callable[[], bool]) -> bool:
    try:
        return is_ready()
    except NotReachable:
        return False


def _parent_lives() -> Callable[[], bool]:
    parent = os.getppid()
    return lambda: os.getppid() == parent


def _say(text: str) -> None:
    click.echo(text)


if __name__ == "__main__":
    sys.exit(main())
