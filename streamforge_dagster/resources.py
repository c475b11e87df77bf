"""From configuration to core objects: the store, and what fills it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypedDict

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

import streamforge_core as sf
from streamforge_dagster.partitions import DAY, Days, midnight, milliseconds


@dataclass(frozen=True, slots=True)
class StoredDay:
    """What the store holds of one day of a series.

    Attributes:
        symbol: As the exchange writes it.
        timeframe: Of the candles.
        day: UTC.
        table: The candles, ascending.
        holes: What is missing, each with its verdict.
        archives: Bulk files that were read for the day: path and SHA-256 of each.
    """

    symbol: str
    timeframe: str
    day: date
    table: pa.Table
    holes: Sequence[sf.Hole]
    archives: Sequence[tuple[str, str]] = ()

    def unexplained(self) -> int:
        """Return how many candles are missing without a reason."""
        return sum(hole.count for hole in self.holes if not hole.is_explained())


class _Series(TypedDict):
    source: str
    symbol: str
    timeframe: str


class _Range(_Series):
    start: datetime
    end: datetime


class Candles(dg.ConfigurableResource[Any]):
    """The candles at hand, and where more come from.

    Where the exchanges are is said by the environment (`STREAMFORGE_<SOURCE>_<KIND>_URL`).

    Attributes:
        store: Folder of the Parquet store.
    """

    store: str

    def backfill(
        self, source: str, timeframe: str, days: Days, progress: Callable[[sf.Progress], None]
    ) -> sf.BackfillReport:
        """Fetch what the store lacks of some days.

        Raises:
            StreamForgeError: Something could not be had; everything else is stored.
        """
        first, last = days.first.isoformat(), days.last.isoformat()
        backfilling: sf.Backfilling = sf.backfilling_for(source)(
            days.symbol, timeframe, first, last, progress=progress
        )
        return backfilling.register_emitter(sf.ParquetEmitter(self.store)).run()

    def derive(self, source: str, timeframe: str, target: str, days: Days) -> None:
        """Fold the stored candles of some days into a higher timeframe, in the same store."""
        sf.derive(self.store, targets=[target], **_range(source, timeframe, days))

    def read(self, source: str, timeframe: str, days: Days) -> pa.Table:
        """Return the stored candles that open in some days, ascending, each once."""
        return self._store().read(**_range(source, timeframe, days))

    def missing(self, source: str, timeframe: str, days: Days) -> list[sf.Hole]:
        """Return what the store lacks of some days, each hole with its verdict."""
        return self._store().missing(**_range(source, timeframe, days))

    def as_written(self, source: str, timeframe: str, days: Days) -> pa.Table:
        """Return the rows of some days as they lie in the files: nothing sorted or left out."""
        files = self._store().files(**_range(source, timeframe, days))
        rows = [pq.ParquetFile(file).read(sf.KLINE_SCHEMA.names) for file in files]
        table = pa.concat_tables([sf.KLINE_SCHEMA.empty_table(), *rows])
        opens = table["open_ts"].to_numpy()
        start, end = (milliseconds(day) for day in (days.first, days.last + DAY))
        return table.filter(pa.array((opens >= start) & (opens < end)))

    def stored_day(self, source: str, timeframe: str, day: Days) -> StoredDay:
        """Return what the store holds of one day."""
        series = _series(source, timeframe, day)
        ends = (f"-{day.first}.zip", f"-{day.first:%Y-%m}.zip")
        archives = self._store().archives(**series)
        return StoredDay(
            symbol=day.symbol,
            timeframe=timeframe,
            day=day.first,
            table=self.read(source, timeframe, day),
            holes=self.missing(source, timeframe, day),
            archives=[(each.path, each.sha256) for each in archives if each.path.endswith(ends)],
        )

    def _store(self) -> sf.Store:
        return sf.Store(self.store)


def _series(source: str, timeframe: str, days: Days) -> _Series:
    return {"source": source, "symbol": days.symbol, "timeframe": timeframe}


def _range(source: str, timeframe: str, days: Days) -> _Range:
    start, end = midnight(days.first), midnight(days.last + DAY)
    return {**_series(source, timeframe, days), "start": start, "end": end}
