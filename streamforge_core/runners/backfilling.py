"""History into emitters: what a caller asks for, and the report of what was done."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from streamforge_core.emitters.base import Emitter
from streamforge_core.errors import ConfigError
from streamforge_core.model.data_input import DEFAULT_MARKET, check_type
from streamforge_core.model.date_range import Moment, parse_range
from streamforge_core.model.exchange import HistoryProtocol, Market
from streamforge_core.model.kline import Kline, Series
from streamforge_core.pipeline.transformer import Transformer, chain
from streamforge_core.runners.backfill_run import DOWNLOADS, BackfillReport, BackfillRun, Job
from streamforge_core.runners.endpoints import Endpoints
from streamforge_core.runners.endpoints import clock as configured_clock
from streamforge_core.runners.progress import Tell, progress_on_terminal
from streamforge_core.transport.clock import Clock

DEFAULT_FILE: Final = "{source}-{symbol}-{market}-{timeframe}-{start}_{end}.csv"
"""Where a backfill without emitters writes, in the current folder."""


class Backfilling:
    """Loads the closed candles of one series with `from_date <= open < to_date` into emitters.

    A second run fetches only what its emitters lack. Each venue's class binds `market_of`,
    `history_of` and the venue's request budget.

    Args:
        symbol: As the venue writes it.
        timeframe: One the venue serves.
        from_date: A date (its 00:00 UTC) or an instant, inclusive.
        to_date: A date (that whole day), an instant (exclusive), or "now": the last closed candle.
        file_path: CSV file for a run without emitters; by default named after the series.
        market_type: "DEFAULT" is spot.
        transformer: Applied to every row before the emitters' own.
        data_type: Accepted for compatibility: "klines" or a synonym.
        endpoints: Base URLs that stand in for the venue's.
        clock: The time; by default the machine's, or what `STREAMFORGE_CLOCK` says.
        downloads: Archive files and REST spans in flight at once.
        progress: Told after every piece; by default a bar where standard error is a terminal.

    Raises:
        ConfigError: An argument cannot be.
    """

    market_of: ClassVar["staticmethod[[str], Market]"]
    history_of: ClassVar["staticmethod[[Market], HistoryProtocol]"]
    weight_per_minute: ClassVar[int]
    used_weight_header: ClassVar[str]

    def __init__(
        self,
        symbol: str,
        timeframe: str,
        from_date: Moment,
        to_date: Moment | None = "now",
        file_path: str | Path | None = None,
        market_type: str = DEFAULT_MARKET,
        transformer: Transformer | None = None,
        *,
        data_type: str = "klines",
        endpoints: Endpoints | None = None,
        clock: Clock | None = None,
        downloads: int = DOWNLOADS,
        progress: Tell | None = None,
    ) -> None:
        check_type(data_type)
        kind = type(self)
        self.market = kind.market_of(market_type)
        self.series = Series(self.market.source, symbol, timeframe)
        clock = clock or configured_clock()
        parse_range(from_date, to_date, now_ms=clock.now_ms())
        self._job = Job(
            series=self.series,
            from_date=from_date,
            to_date=to_date,
            history=kind.history_of(self.market),
            clock=clock,
            endpoints=endpoints,
            weight_per_minute=kind.weight_per_minute,
            used_weight_header=kind.used_weight_header,
            downloads=downloads,
        )
        self._job.history.check(symbol, timeframe)
        self._file_path = file_path
        self._transformer = transformer
        self._progress = progress
        self._emitters: list[Emitter] = []
        self._stop = threading.Event()

    def register_emitter(
        self,
        emitter: Emitter,
        model: Any = None,  # noqa: ANN401 - the user's own table class
        map_object: Mapping[str, str] | None = None,
    ) -> Self:
        """Add a destination; several receive the same candles.

        Args:
            emitter: Connected and closed by the run.
            model: Passed to `emitter.set_model`.
            map_object: Passed to `emitter.register_map`.
        """
        if model is not None:
            emitter.set_model(model)
        if map_object is not None:
            emitter.register_map(map_object)
        self._emitters.append(emitter)
        return self

    def set_transformer(self, transformer: Transformer) -> Self:
        """Apply a function to every row before the emitters' own; several are applied in turn."""
        self._transformer = chain(self._transformer, transformer)
        return self

    def run(self) -> BackfillReport:
        """Fetch what is missing, emit it in order, and return what was done.

        Raises:
            IncompleteBackfill: Some ranges could not be fetched; everything else is stored.
            UnknownSymbol: The venue does not list it.
            EmitterError: A destination failed; nothing half-written is left.
            ConfigError: Called inside a running event loop: await `arun()` there.
        """
        _refuse_running_loop()
        return self._run(self._begun())

    async def arun(self) -> BackfillReport:
        """Do what `run()` does without blocking the event loop; cancelling it stops cleanly."""
        work = asyncio.ensure_future(asyncio.to_thread(self._run, self._begun()))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            self.stop()
            await asyncio.gather(work, return_exceptions=True)
            raise

    def stop(self) -> None:
        """Make a run in another thread end soon; what it has emitted stays."""
        self._stop.set()

    def stream(self, batch_size: int = 1_000) -> Iterator[list[Kline]]:
        """Yield the range's closed candles in order, without emitters.

        Args:
            batch_size: Most candles in one list.

        Raises:
            IncompleteBackfill: After everything that could be had was yielded.
        """
        with BackfillRun(self._job, self._begun()) as run:
            yield from run.klines(batch_size)

    def default_file(self) -> Path:
        """Return where a run without emitters writes."""
        if self._file_path is not None:
            return Path(self._file_path)
        source = self.series.source.partition("-")[0]
        name = DEFAULT_FILE.format(
            source=source,
            symbol=self.series.symbol.replace("/", "-"),
            market=self.market.label,
            timeframe=self.series.timeframe,
            start=_file_date(self._job.from_date),
            end=_file_date(self._job.to_date),
        )
        return Path(name)

    def _begun(self) -> threading.Event:
        """Return a new run's stop; made before its thread starts, so that none comes too early."""
        self._stop = threading.Event()
        return self._stop

    def _run(self, stop: threading.Event) -> BackfillReport:
        emitters = self._emitters or [self._default_emitter()]
        with (
            BackfillRun(self._job, stop) as run,
            progress_on_terminal(self._progress, str(self.series)) as tell,
        ):
            return run.into(emitters, self._transformer, tell)

    def _default_emitter(self) -> Emitter:
        from streamforge_core.emitters.csv_file import CSVEmitter

        return CSVEmitter(file_path=str(self.default_file()))


def _refuse_running_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise ConfigError(
        "run() would block the event loop that is running here. Write `await backfiller.arun()`."
    )


def _file_date(date: Moment | None) -> str:
    """Write a date as part of a file name: colons are not allowed in one everywhere."""
    text = "now" if date is None else str(date)
    return text.replace(":", "").replace(" ", "T")
