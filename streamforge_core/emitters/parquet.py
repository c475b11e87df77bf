"""The Parquet store's writer: one file per series and day (or month), replaced whole."""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from streamforge_core.emitters.base import Emitter, Report
from streamforge_core.errors import (
    ConfigError,
    EmitterError,
    MalformedMessage,
    RecordError,
    StorageFull,
)
from streamforge_core.model.batches import IDENTITY, Partition, rows_to_table, split, storable
from streamforge_core.model.columns import (
    RECORD_SCHEMA,
    Instants,
    as_records,
    instants,
    records_to_table,
)
from streamforge_core.model.coverage import (
    Coverage,
    Entry,
    decode_entries,
    encode_entry,
    find_missing,
    is_news,
)
from streamforge_core.model.gap import Hole
from streamforge_core.model.kline import FIELDS, Kline, Record, Series
from streamforge_core.model.merge import merge
from streamforge_core.model.partition import (
    PERIOD_PREFIX,
    coverage_path,
    partition_path,
    periods_between,
    series_path,
)

LOCK_FOLDER: Final = "_locks"
TEMP_FOLDER: Final = "_tmp"

_NEVER_NULL: Final = (*IDENTITY, "end_ts", "open", "high", "low", "close", "volume")
# What a transformer need not return: without it a row could be neither merged nor judged.
_BOOKKEEPING: Final = ("is_closed", "provenance", "revision", "is_complete", "seen_ts")
_UNSAID: Final[dict[str, Any]] = {
    "is_closed": False,
    "provenance": "rest",
    "revision": 0,
    "is_complete": True,
    "seen_ts": 0,
}

_YEAR_10000_MS: Final = 253_402_300_800_000
_BUFFER_ROWS: Final = 100_000
_ROW_GROUP_ROWS: Final = 131_072
_LOCK_PATIENCE_S: Final = 120.0
_LOCK_POLL_S: Final = 0.005

_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_RIGHT: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class ParquetEmitter(Emitter):
    """Writes candles into a folder of Parquet files that `sf.Store` reads.

    `emit` and `emit_batch` buffer; `flush` merges into the files by identity and precedence
    (`model/merge.py`). A file is replaced whole and atomically, and only if a row in it
    changes: the same rows give the same bytes in whatever batches they came. Several processes may
    write into one folder.

    A crash loses what was not flushed and nothing else. With a transformer its result is stored: it
    must keep source, symbol, timeframe and open_ts; fields of its own become columns.

    Args:
        path: The store's root; created if absent.
        name: Its name in logs and reports.
        flush_every_s: How long a live stream lets rows wait before they are written.
    """

    applies_transformer = True

    def __init__(
        self, path: str | os.PathLike[str], *, name: str | None = None, flush_every_s: float = 60.0
    ) -> None:
        super().__init__(name=name)
        self.path = Path(path)
        self.flush_every_s = flush_every_s
        self._open = False
        self._stored = 0
        self._records: list[Record] = []
        self._rows: list[dict[str, Any]] = []
        self._tables: list[pa.Table] = []
        self._partitions: list[Partition] = []

    def connect(self) -> None:
        """Create the folders and clear away what a killed writer left.

        Raises:
            ConfigError: The path cannot be a store or cannot be written to.
        """
        try:
            for folder in (LOCK_FOLDER, TEMP_FOLDER):
                (self.path / folder).mkdir(parents=True, exist_ok=True)
            self._remove_leftovers()
        except OSError as error:
            raise ConfigError(f"{self.path} cannot hold a Parquet store: {error}") from error
        self._open = True

    def _remove_leftovers(self) -> None:
        for leftover in (self.path / TEMP_FOLDER).iterdir():
            # Whoever writes such a file holds its series' lock: free means that its writer is dead.
            with suppress(Timeout), self._lock(leftover.name.rpartition("~")[0]).acquire(timeout=0):
                leftover.unlink(missing_ok=True)

    def emit(self, data: Kline) -> None:
        """Take one candle; `flush` writes it.

        Raises:
            RecordError: It has no source, or the transformer failed on it.
        """
        self._take_record(Record.from_kline(data, provenance="rest"))

    def emit_records(self, records: Sequence[Record]) -> None:
        """Take records; `flush` writes them."""
        for record in records:
            try:
                self._take_record(record)
            except RecordError as error:
                self.refuse(error)

    def emit_batch(self, batch: pa.Table) -> None:
        """Take a table of `RECORD_SCHEMA` or `KLINE_SCHEMA`, of any series; `flush` writes it.

        Rows without an identity, with an open outside 1970..9999 or with a price or volume that is
        no finite number are refused one by one; so are rows on which the transformer fails.
        """
        self._check_open()
        table = as_records(batch)
        if self._transformer is None:
            with self._sharing:
                self._settle_records()
                self._tables.append(table)
        else:
            for values in table.to_pylist():
                try:
                    self._take_row(values)
                except RecordError as error:
                    self.refuse(error)
        self._make_room()

    def _take_record(self, record: Record) -> None:
        self._check_open()
        if not record.source:
            raise RecordError(f"{self.name}: a candle without a source cannot be stored: {record}")
        if self._transformer is not None:
            self._take_row({name: getattr(record, name) for name in RECORD_SCHEMA.names})
        else:
            with self._sharing:
                self._records.append(record)
        self._make_room()

    def _take_row(self, values: dict[str, Any]) -> None:
        self._check_open()
        row = self.transformed({name: values[name] for name in FIELDS})
        if row is None:
            return
        lost = [name for name in IDENTITY if row.get(name) in (None, "")]
        if lost:
            raise RecordError(
                f"{self.name}: the transformer's result lacks {', '.join(lost)}; a Parquet store "
                f"needs {', '.join(IDENTITY)}. It returned {sorted(row)}."
            )
        with self._sharing:
            self._rows.append({name: values[name] for name in _BOOKKEEPING} | row)

    def _check_open(self) -> None:
        if not self._open:
            raise EmitterError(f"{self.name} is not connected: call connect() first.")

    def _make_room(self) -> None:
        if self._buffered() >= _BUFFER_ROWS:
            self.flush()

    def _buffered(self) -> int:
        tables = sum(table.num_rows for table in self._tables)
        return len(self._records) + len(self._rows) + tables

    def flush(self, deadline_s: float | None = None) -> Report:
        """Write everything accepted.

        Raises:
            StorageFull: No space or no right; nothing is half-written, what is left stays pending.
            EmitterError: A file in the store is damaged, or a lock is held for ever.
        """
        end_s = None if deadline_s is None else monotonic() + deadline_s
        with self._sharing:
            self._settle()
            while self._partitions and (end_s is None or monotonic() < end_s):
                partition = self._partitions[0]
                self._write(partition)
                self._stored += partition.rows.num_rows
                del self._partitions[0]
            pending = sum(partition.rows.num_rows for partition in self._partitions)
            return Report(acked=self._stored, pending=pending, dead=self.dead)

    def close(self) -> None:
        """Write everything accepted and stop taking rows; a second call does nothing."""
        with self._sharing:
            if not self._open:
                return
            try:
                self.flush()
            finally:
                self._open = False

    def _settle_records(self) -> None:
        """Turn single rows into a table, so that the order of arrival is kept."""
        if self._records:
            self._tables.append(records_to_table(self._records))
            self._records = []

    def _settle(self) -> None:
        """Sort what was accepted into partitions."""
        self._settle_records()
        tables, self._tables = self._tables, []
        if self._rows:
            rows, self._rows = self._rows, []
            tables.append(self._table_of(rows))
        if tables:
            table = self._usable(pa.concat_tables(tables, promote_options="permissive"))
            self._partitions.extend(split(table))

    def _table_of(self, rows: list[dict[str, Any]]) -> pa.Table:
        try:
            return rows_to_table(rows)
        except (pa.ArrowException, OverflowError):
            return rows_to_table([row for row in rows if self._fits(row)])

    def _fits(self, row: dict[str, Any]) -> bool:
        try:
            rows_to_table([row])
        except (pa.ArrowException, OverflowError) as error:
            self.refuse(RecordError(f"{self.name}: {row} does not fit its columns: {error}"))
            return False
        return True

    def _usable(self, table: pa.Table) -> pa.Table:
        """Leave out rows that could be neither found nor counted again; fill in what was unsaid."""
        required = _NEVER_NULL if self._transformer is None else IDENTITY
        usable = storable(table, required)
        if not usable.all():
            for row in table.filter(pa.array(~usable)).to_pylist():
                self.refuse(RecordError(f"{self.name}: {row} is no candle that can be stored."))
            table = table.filter(pa.array(usable))
        for name, value in _UNSAID.items():
            index = table.column_names.index(name)
            field = RECORD_SCHEMA.field(name)
            column = table.column(name).fill_null(pa.scalar(value, field.type))
            table = table.set_column(index, field, column)
        return table

    def _write(self, partition: Partition) -> None:
        with self._locked(partition.series):
            path = self.path / self._target(partition)
            with _storage(path):
                stored = _read(path)
                merged = merge(stored, partition.rows)
                if merged is not None:
                    self._replace(path, partition, _encoded(merged))

    def _target(self, partition: Partition) -> str:
        """Return the partition's file: the month's, once its days were compacted into it."""
        month = partition_path(partition.series, partition.period[: len("2024-01")])
        if (self.path / month).exists():
            return month
        return partition_path(partition.series, partition.period)

    def _replace(self, path: Path, partition: Partition, data: pa.Buffer) -> None:
        temp = self.path / TEMP_FOLDER / f"{_lock_name(partition.series)}~{partition.period}.tmp"
        try:
            _write_synced(temp, data)
            _make_folder(path.parent)
            temp.replace(path)
        except BaseException:
            temp.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)

    def last_open_ts(self, series: Series) -> int | None:
        """Return the newest stored closed candle's open."""
        for folder in reversed(self._periods(series, 0, _YEAR_10000_MS)):
            opens = self._closed_opens(series, folder)
            if len(opens):
                return int(opens.max())
        return None

    def missing(self, series: Series, start_ms: int, end_ms: int) -> list[Hole]:
        """Return the runs of candles that are not in the files, each with its verdict.

        What is accepted and not flushed yet counts as missing.
        """
        folders = self._periods(series, start_ms, end_ms)
        opens = [self._closed_opens(series, folder) for folder in folders]
        present = np.concatenate([np.empty(0, np.int64), *opens])
        coverage = Coverage.of(self._read_coverage(series))
        return find_missing(present, start_ms, end_ms, series.timeframe, coverage)

    def _periods(self, series: Series, start_ms: int, end_ms: int) -> list[str]:
        folder = self.path / series_path(series)
        names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
        return periods_between(names, start_ms, end_ms)

    def _closed_opens(self, series: Series, folder: str) -> Instants:
        period = folder.removeprefix(PERIOD_PREFIX)
        table = _read(self.path / partition_path(series, period), ["open_ts", "is_closed"])
        return instants(table.filter(table.column("is_closed")))

    def record_holes(self, series: Series, entries: Sequence[Entry]) -> None:
        """Append to the series' coverage log what it does not say already."""
        path = self.path / coverage_path(series)
        with self._locked(series), _storage(path):
            known = Coverage.of(self._read_coverage(series))
            lines = []
            for entry in entries:
                if is_news(entry, known, series.timeframe):
                    lines.append(encode_entry(entry))
                    known.add(entry)
            if lines:
                _append(path, b"".join(lines))

    def _read_coverage(self, series: Series) -> list[Entry]:
        path = self.path / coverage_path(series)
        try:
            return decode_entries(path.read_bytes())
        except FileNotFoundError:
            return []
        except MalformedMessage as error:
            raise EmitterError(
                f"{path} is damaged: {error} Move it away; its verdicts are found again by the "
                "next backfill."
            ) from error

    def _lock(self, name: str) -> FileLock:
        path = self.path / LOCK_FOLDER / f"{name}.lock"
        return FileLock(path, timeout=_LOCK_PATIENCE_S, poll_interval=_LOCK_POLL_S)

    @contextmanager
    def _locked(self, series: Series) -> Iterator[None]:
        """Keep every other writer out of a series: one lock for its partitions and its log."""
        lock = self._lock(_lock_name(series))
        with _storage(self.path):
            try:
                lock.acquire()
            except Timeout as error:
                raise EmitterError(
                    f"{lock.lock_file} was held for {_LOCK_PATIENCE_S:.0f} s by another writer of "
                    f"{series}. End the process that hangs; the lock goes with it."
                ) from error
        try:
            yield
        finally:
            lock.release()


def _lock_name(series: Series) -> str:
    return Path(coverage_path(series)).stem


def _read(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Return a partition's rows, none where there is no file.

    Args:
        path: The file.
        columns: Read these alone; else all of `RECORD_SCHEMA` and those of a transformer.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as source:
            table = source.read(columns, use_threads=False)
            return table.select(columns) if columns else _conformed(table)
    except FileNotFoundError:
        return RECORD_SCHEMA.empty_table()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise EmitterError(
            f"{path} is damaged or no partition of a store, and is left as it is: {error}. Move it "
            "away and run the backfill of its days again."
        ) from error


def _conformed(table: pa.Table) -> pa.Table:
    """Return the columns of `RECORD_SCHEMA`, then those of a transformer."""
    table.select(list(IDENTITY))  # a file without them is not ours: KeyError
    records = as_records(table)
    for field in table.schema:
        if field.name not in RECORD_SCHEMA.names:
            records = records.append_column(field, table.column(field.name))
    return records


def _encoded(table: pa.Table) -> pa.Buffer:
    """Return the file's bytes; they depend on the rows alone."""
    own = sorted(set(table.column_names) - set(RECORD_SCHEMA.names))
    target = pa.BufferOutputStream()
    pq.write_table(
        table.select([*RECORD_SCHEMA.names, *own]).replace_schema_metadata(None),
        target,
        compression="zstd",
        row_group_size=_ROW_GROUP_ROWS,
        use_dictionary=["source", "symbol", "timeframe", "provenance"],  # type: ignore[arg-type]  # the stubs know no list
        column_encoding=dict.fromkeys(("open_ts", "end_ts", "seen_ts"), "DELTA_BINARY_PACKED"),
        store_schema=False,
        write_page_checksum=True,
    )
    return target.getvalue()


def _write_synced(path: Path, data: pa.Buffer) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _append(path: Path, lines: bytes) -> None:
    """Append whole lines, durably; the torn last line of a crash is cut off first."""
    _make_folder(path.parent)
    is_new = not path.exists()
    with path.open("ab+") as file:
        file.seek(0)
        whole = file.read().rfind(b"\n") + 1
        file.truncate(whole)
        try:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.truncate(path, whole)
            raise
    if is_new:
        _sync_folder(path.parent)


def _make_folder(folder: Path) -> None:
    """Create a folder whose name survives a crash."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows has no handle on a folder to flush
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _storage(path: Path) -> Iterator[None]:
    """Say what to do about a disk that refuses."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise StorageFull(
                f"No space left for {path}. Free some: what was stored is untouched, and the rest "
                "is written by the next flush."
            ) from error
        if error.errno in _NO_RIGHT:
            raise StorageFull(
                f"No right to write {path} ({error.strerror}). Give this user write access to the "
                "store; what was stored is untouched."
            ) from error
        raise EmitterError(f"{path} could not be written: {error}") from error
