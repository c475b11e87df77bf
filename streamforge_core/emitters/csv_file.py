"""Candles appended to a CSV file, whole lines only, each candle once."""

import logging
import os
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from filelock import FileLock, Timeout

from streamforge_core.emitters.base import Emitter, Report
from streamforge_core.emitters.line_file import LineFile, cell
from streamforge_core.errors import ConfigError, EmitterError, RecordError
from streamforge_core.model.kline import FIELDS, Kline, Record, Series
from streamforge_core.model.timeframe import EARLIEST_MS, end_of
from streamforge_core.pipeline.transformer import Row, Transformer

if TYPE_CHECKING:  # a live stream into a new file does not pay for pyarrow
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from streamforge_core.model.columns import Instants
    from streamforge_core.model.gap import Hole

_log: Final = logging.getLogger(__name__)

_KEY: Final = ("source", "symbol", "timeframe")
_NUMBERS: Final = frozenset(FIELDS) - {*_KEY, "is_closed"}
_SYNC_ROWS: Final = 100


class CSVEmitter(Emitter):
    """Appends closed candles to one file, ascending per series; an open candle is never written.

    The header is the fourteen fields of `Kline`, or the keys of the transformer's first result.
    None is empty, booleans are true and false, a float is the shortest text that reads back to it.
    A candle that the file holds is skipped, so a repeated backfill adds nothing. One older than its
    series' last line cannot be inserted into an append-only file: like a correction, it goes to
    `<file>.revisions.csv`.

    A crash leaves whole lines: what is torn at the end is cut off when the file is opened again.
    Rows are durable after `flush`, which follows every batch and every 100 single rows.

    Args:
        source: Take candles of this source only, upper and lower case alike.
        symbol: Take this symbol only, likewise.
        timeframe: Take this timeframe only.
        file_path: The file; its folder is created.
        transformer_function: See `set_transformer`.
        name: Its name in logs and reports.
    """

    applies_transformer = True
    appends_only = True

    def __init__(
        self,
        source: str | None = None,
        symbol: str | None = None,
        timeframe: str | None = None,
        file_path: str | os.PathLike[str] | None = None,
        transformer_function: Transformer | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.source = source
        self.symbol = symbol
        self.timeframe = timeframe
        self.file_path = None if file_path is None else Path(file_path)
        self._lock: FileLock | None = None
        self._file: LineFile | None = None
        self._revisions: LineFile | None = None
        self._held = _Held({})
        self._written = 0
        self._unsynced = 0
        if transformer_function is not None:
            self.set_transformer(transformer_function)

    def set_file_path(self, file_path: str | os.PathLike[str], *, inplace: bool = True) -> Self:
        """Write to another file from now on; one that is open is closed first.

        Args:
            file_path: The file; its folder is created.
            inplace: Accepted for compatibility; the emitter itself is always changed.
        """
        del inplace
        was_open = self._file is not None
        self.close()
        self.file_path = Path(file_path)
        if was_open:
            self.connect()
        return self

    def connect(self) -> None:
        """Open the file, cut off a torn last line and read which candles it holds.

        Raises:
            ConfigError: No file_path, another writer has the file open, or its header differs from
                what would be written.
        """
        if self._file is not None:
            return
        if self.file_path is None:
            raise ConfigError(
                f'{self.name} has no file: pass file_path="candles.csv" or call set_file_path().'
            )
        try:
            self._lock = _locked(self.file_path)
            self._file = LineFile(self.file_path)
            self._check_header(self._file)
            self._held = self._read_held(self._file)
        except OSError as error:
            self._release()
            raise ConfigError(f"{self.file_path} cannot be written: {error}") from error
        except BaseException:
            self._release()
            raise

    def _check_header(self, file: "LineFile") -> None:
        if self._transformer is None:
            file.expect(FIELDS)
        elif file.header is not None:
            try:
                row = self._transformer(self._sample())
            except Exception as error:  # noqa: BLE001 - it may refuse a made-up candle; real ones tell
                _log.debug("%s: the transformer failed on a sample: %r", self.name, error)
                return
            if row is not None:
                file.expect(row)

    def _sample(self) -> Row:
        """Return a candle to see which keys the transformer gives."""
        timeframe = self.timeframe or "1m"
        text = (self.source or "Binance", self.symbol or "BTCUSDT", timeframe)
        times = (EARLIEST_MS, end_of(EARLIEST_MS, timeframe))
        values: tuple[Any, ...] = (*text, *times, *[1.0] * 7, 1, True)
        return dict(zip(FIELDS, values, strict=True))

    def _read_held(self, file: "LineFile") -> "_Held":
        if file.header is None:
            return _Held({})
        asked = zip(_KEY, (self.source, self.symbol, self.timeframe), strict=True)
        fixed = {name: value for name, value in asked if name not in file.header}
        if "open_ts" in file.header and None not in fixed.values():
            held = _Held.read(file.path, fixed)
            if held is not None:
                return held
        _log.warning(
            "%s: the lines of %s do not name source, symbol, timeframe and an integer open_ts: "
            "candles that come again are written again.",
            self.name,
            file.path,
        )
        return _Held({})

    def emit(self, data: Kline) -> None:
        """Append one candle.

        Raises:
            RecordError: It has no source, the transformer failed on it, or its result does not fit
                the header.
            StorageFull: No space left; the file ends with a whole line.
        """
        with self._sharing:
            self._write(self._lines([(data.__dict__, 0)]))

    def emit_records(self, records: Sequence[Record]) -> None:
        """Append records."""
        rows = [({name: getattr(r, name) for name in FIELDS}, r.revision) for r in records]
        self._write_rows(rows)

    def emit_batch(self, batch: "pa.Table") -> None:
        """Append a table of `RECORD_SCHEMA` or `KLINE_SCHEMA`.

        A batch in which a series is not in ascending order is sorted by `open_ts` first.
        """
        with self._sharing:
            table = self._chosen(batch)
            if self._transformer is None:
                self._write_table(table)
            else:
                revisions: list[Any] = table.column("revision").to_pylist()
                rows: list[Row] = table.select(list(FIELDS)).to_pylist()
                self._write_rows(list(zip(rows, revisions, strict=True)))
            self._sync()

    def _write_rows(self, rows: Sequence[tuple[Row, int]]) -> None:
        with self._sharing:
            lines: list[_Line] = []
            for row in rows:
                try:
                    lines += self._lines([row])
                except RecordError as error:
                    self.refuse(error)
            self._write(lines)

    def _lines(self, rows: Iterable[tuple[Row, int]]) -> "list[_Line]":
        """Return what is to be written of some rows, each with its revision."""
        file = self._opened()
        lines = []
        for values, revision in rows:
            if not values["source"]:
                raise RecordError(f"{self.name}: a candle without a source: {values}")
            row = self.transformed(values) if self._wants(values) else None
            if row is None:
                continue
            if file.header is None:
                file.start(row)
            lines.append(_Line(*self._identity(row), revision, file.line(row)))
        return lines

    def _wants(self, values: Row) -> bool:
        return (
            values["is_closed"] is not False
            and _alike(self.source, values["source"])
            and _alike(self.symbol, values["symbol"])
            and self.timeframe in (None, values["timeframe"])
        )

    def _identity(self, row: Row) -> tuple[Series | None, int]:
        """Return what a written row is known by; no series if it does not tell."""
        open_ts = row.get("open_ts")
        asked = (self.source, self.symbol, self.timeframe)
        key = [str(row.get(name, value) or "") for name, value in zip(_KEY, asked, strict=True)]
        if isinstance(open_ts, int) and all(key):
            return Series(*key), open_ts
        return None, 0

    def _chosen(self, batch: "pa.Table") -> "pa.Table":
        """Return the rows that are asked for, closed and sound, ascending in each series."""
        import pyarrow as pa
        import pyarrow.compute as pc

        from streamforge_core.model.batches import IDENTITY, storable
        from streamforge_core.model.columns import as_records

        self._opened()
        table = as_records(batch)
        table = table.filter(table.column("is_closed").fill_null(pa.scalar(value=True)))
        for name, asked in (("source", self.source), ("symbol", self.symbol)):
            if asked is not None:
                lower = pc.utf8_lower(table.column(name))
                table = table.filter(pc.equal(lower, pa.scalar(asked.lower())))
        if self.timeframe is not None:
            table = table.filter(pc.equal(table.column("timeframe"), pa.scalar(self.timeframe)))
        sound = storable(table, IDENTITY)
        if not sound.all():
            for row in table.take((~sound).nonzero()[0]).to_pylist():
                self.refuse(RecordError(f"{self.name}: {row} is no candle that can be stored."))
            table = table.take(sound.nonzero()[0])
        return _ascending(table)

    def _write_table(self, table: "pa.Table") -> None:
        """Append candles as they are: in one write where each is newer than all before it."""
        import numpy as np

        from streamforge_core.model.batches import by_series
        from streamforge_core.model.columns import instants

        opens = instants(table)
        groups = [(series, opens[rows]) for series, rows in by_series(table)]
        if all(self._held.continues(*group) for group in groups):
            self._append(self._opened(), _texts_of(table))
            for group in groups:
                self._held.extend(*group)
            return
        known = np.zeros(len(opens), bool)
        for series, rows in by_series(table):
            known[rows] = self._held.all_held(series, opens[rows])
        table = table.take(np.flatnonzero(~known | (instants(table, "revision") > 0)))
        keys = zip(*(table.column(name).to_pylist() for name in _KEY), strict=True)
        revisions: list[Any] = table.column("revision").to_pylist()
        rows_ = zip(keys, instants(table).tolist(), revisions, _texts_of(table), strict=True)
        self._write([_Line(Series(*key), ts, revision, text) for key, ts, revision, text in rows_])

    def _write(self, lines: "Sequence[_Line]") -> None:
        """Append each line where it belongs: the file, its revisions, or nowhere."""
        newer: list[str] = []
        older: list[str] = []
        added: list[Series] = []
        for line in lines:
            if line.series is None:
                newer.append(line.text)
            elif self._held.add(line.series, line.open_ts):
                newer.append(line.text)
                added.append(line.series)
            elif line.revision or not self._held.holds(line.series, line.open_ts):
                older.append(line.text)
        try:
            self._append(self._opened(), newer)
        except BaseException:
            self._held.forget(added)
            raise
        if older:
            self._append_revisions(older)

    def _append(self, file: "LineFile", texts: Sequence[str]) -> None:
        if texts:
            file.append(texts)
            self._written += len(texts)
            self._unsynced += len(texts)
        if self._unsynced >= _SYNC_ROWS:
            self._sync()

    def _append_revisions(self, texts: Sequence[str]) -> None:
        main = self._opened()
        if self._revisions is None:
            self._revisions = LineFile(main.path.with_name(f"{main.path.name}.revisions.csv"))
            self._revisions.expect(main.header or ())
        told = self._revisions.texts()
        fresh = list(dict.fromkeys(text for text in texts if text not in told))
        self._append(self._revisions, fresh)

    def _opened(self) -> "LineFile":
        if self._file is None:
            raise EmitterError(f"{self.name} is not connected: call connect() first.")
        return self._file

    def _sync(self) -> None:
        for file in (self._file, self._revisions):
            if file is not None and self._unsynced:
                file.sync()
        self._unsynced = 0

    def flush(self, deadline_s: float | None = None) -> Report:
        """Make everything written durable."""
        del deadline_s
        with self._sharing:
            self._sync()
            return Report(acked=self._written, dead=self.dead)

    def close(self) -> None:
        """Make everything durable and release the file; a second call does nothing."""
        with self._sharing:
            try:
                self._sync()
            finally:
                self._release()

    def _release(self) -> None:
        for file in (self._file, self._revisions):
            if file is not None:
                file.close()
        self._file = self._revisions = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def last_open_ts(self, series: Series) -> int | None:
        """Return the newest candle's open in the file; None where its lines do not tell it."""
        last = self._held.last(series)
        return last if last is not None and last >= EARLIEST_MS else None

    def missing(self, series: Series, start_ms: int, end_ms: int) -> "list[Hole]":
        """Return what follows the last candle in the file.

        A hole before it is not told: an append-only file cannot take what belongs there.
        """
        import numpy as np

        from streamforge_core.model.coverage import Coverage, find_missing

        if not self._wants({"is_closed": True, **{name: getattr(series, name) for name in _KEY}}):
            return []
        last = self.last_open_ts(series)
        start_ms = start_ms if last is None else max(start_ms, last + 1)
        return find_missing(np.empty(0, np.int64), start_ms, end_ms, series.timeframe, Coverage())


class _Line(NamedTuple):
    series: Series | None
    open_ts: int
    revision: int
    text: str


class _Held:
    """The opens in the file, ascending for each series, eight bytes each."""

    def __init__(self, opens: "dict[Series, array[int]]") -> None:
        self._opens = opens

    @classmethod
    def read(cls, path: Path, fixed: dict[str, str | None]) -> "Self | None":
        """Read a file's identity columns, None if they are not what they are named.

        Args:
            path: Whole lines only.
            fixed: Values of the columns it lacks.
        """
        import numpy as np
        import pyarrow as pa
        from pyarrow import csv

        from streamforge_core.model.batches import by_series
        from streamforge_core.model.columns import instants

        types: dict[str, Any] = {"open_ts": pa.int64(), **dict.fromkeys(_KEY, pa.string())}
        names = [name for name in types if name not in fixed]
        options = csv.ConvertOptions(column_types=types, include_columns=names)
        try:
            table = csv.read_csv(path, convert_options=options)
        except pa.ArrowInvalid as error:
            _log.debug("%s: %s", path, error)
            return None
        if table.column("open_ts").null_count:
            return None
        for name, value in fixed.items():
            table = table.append_column(name, pa.array([value] * table.num_rows, pa.string()))
        opens = instants(table)
        groups = ((series, np.unique(opens[rows])) for series, rows in by_series(table))
        return cls({series: array("q", sorted_.tobytes()) for series, sorted_ in groups})

    def last(self, series: Series) -> int | None:
        opens = self._opens.get(series)
        return opens[-1] if opens else None

    def holds(self, series: Series, open_ts: int) -> bool:
        opens = self._opens.get(series, ())
        at = bisect_left(opens, open_ts)
        return at < len(opens) and opens[at] == open_ts

    def all_held(self, series: Series, opens: "Instants") -> "npt.NDArray[np.bool_]":
        """Tell, for each open, whether the file has that candle."""
        import numpy as np

        held = np.array(self._opens.get(series, array("q")), np.int64)
        at = np.searchsorted(held, opens)
        inside = at < len(held)
        inside[inside] = held[at[inside]] == opens[inside]
        return inside

    def add(self, series: Series, open_ts: int) -> bool:
        """Note a candle that is newer than all of its series, else tell that it is not."""
        opens = self._opens.setdefault(series, array("q"))
        if opens and open_ts <= opens[-1]:
            return False
        opens.append(open_ts)
        return True

    def forget(self, added: Iterable[Series]) -> None:
        """Take back the newest candle of each series named."""
        for series in added:
            self._opens[series].pop()

    def continues(self, series: Series, opens: "Instants") -> bool:
        """Tell whether opens ascend and are newer than all of the series."""
        last = self.last(series)
        return bool((opens[1:] > opens[:-1]).all()) and (last is None or int(opens[0]) > last)

    def extend(self, series: Series, opens: "Instants") -> None:
        self._opens.setdefault(series, array("q")).frombytes(opens.tobytes())


def _locked(path: Path) -> FileLock:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ConfigError(
            f"{path} is open in another CSVEmitter, here or in another process. Give each its own "
            "file; one emitter may be registered with several runners."
        ) from error
    return lock


def _alike(asked: str | None, given: object) -> bool:
    return asked is None or asked == given or asked.lower() == str(given).lower()


def _ascending(table: "pa.Table") -> "pa.Table":
    """Sort rows by open, if a series runs backwards."""
    from streamforge_core.model.batches import by_series
    from streamforge_core.model.columns import instants

    opens = instants(table)
    if all((opens[rows][1:] >= opens[rows][:-1]).all() for _, rows in by_series(table)):
        return table
    return table.take(opens.argsort(kind="stable"))


def _texts_of(table: "pa.Table") -> list[str]:
    """Return each candle's line, as `LineFile.line` would."""
    columns: list[Iterable[str]] = []
    for name in FIELDS:
        column = table.column(name)
        values = column.to_pylist()
        if name in _NUMBERS and not column.null_count:
            columns.append(map(repr, values))
        else:  # few distinct values, or unknown ones
            columns.append(map(_texts_by_value(values).__getitem__, values))
    return list(map(",".join, zip(*columns, strict=True)))


def _texts_by_value(values: Sequence[object]) -> dict[object, str]:
    return {value: cell(value) for value in set(values)}
