"""The contract of every destination: `Emitter`, also exported as `DataEmitter`."""

import itertools
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from streamforge_core.errors import EmitterError, RecordError
from streamforge_core.model.kline import FIELDS, Kline, Series
from streamforge_core.pipeline.transformer import Row, Transformer, chain, rename

if TYPE_CHECKING:  # a live stream that writes no columns does not pay for pyarrow
    import pyarrow as pa

    from streamforge_core.model.coverage import Entry
    from streamforge_core.model.gap import Hole


@dataclass(frozen=True, slots=True)
class Report:
    """What became of everything accepted so far.

    Attributes:
        acked: Rows the destination has taken for good.
        pending: Rows accepted and not yet taken.
        spooled: Rows of `pending` that are safe on disk.
        dead: Rows refused for good and kept aside.
    """

    acked: int = 0
    pending: int = 0
    spooled: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True)
class Health:
    """How a destination is doing.

    Attributes:
        state: "ok", "retrying", "open_circuit" or "stopped".
        last_error: Class name of the last error, None when there was none.
        oldest_pending_s: Age of the oldest row not yet taken, in seconds.
    """

    state: str = "ok"
    last_error: str | None = None
    oldest_pending_s: float = 0.0


class Emitter:
    """A destination. A custom one needs `emit(self, data: Kline)` only, sync or async.

    `emit` may be called with duplicates after a crash; a store writes by identity (source, symbol,
    timeframe, open_ts). An exception from `emit` means the destination failed and is loud; raise
    `RecordError` for a row that can never pass.
    """

    _counters: ClassVar[dict[str, Iterator[int]]] = {}

    name: str
    _transformer: Transformer | None = None

    def __init__(self, *, name: str | None = None) -> None:
        kind = type(self).__name__
        counter = self._counters.setdefault(kind, itertools.count(1))
        self.name = name or f"{kind}-{next(counter)}"

    def connect(self) -> None:
        """Open the destination and check it.

        Raises:
            ConfigError: It cannot work as configured.
        """

    def emit(self, data: Kline) -> Awaitable[None] | None:
        """Take one candle."""
        raise NotImplementedError(f"{type(self).__name__} must define emit(self, data)")

    def emit_batch(self, batch: "pa.Table") -> None:
        """Take a table of `RECORD_SCHEMA`; the default calls a synchronous `emit` row by row."""
        from streamforge_core.model.columns import table_to_klines

        for kline in table_to_klines(batch):
            if self.emit(kline) is not None:
                raise EmitterError(f"{self.name}: an async emit takes one candle at a time.")

    def flush(self, deadline_s: float | None = None) -> Report:
        """Hand everything accepted to the destination.

        Args:
            deadline_s: Seconds after which what is left is reported as pending; None waits.
        """
        del deadline_s
        return Report()

    def close(self) -> None:
        """Flush and release; a second call does nothing."""

    def last_open_ts(self, series: Series) -> int | None:
        """Return the newest stored candle's open; None where the destination cannot tell."""
        del series
        return None

    def missing(self, series: Series, start_ms: int, end_ms: int) -> "Sequence[Hole] | None":
        """Return what it lacks with `start_ms <= open < end_ms`; None where it cannot tell."""
        del series, start_ms, end_ms
        return None

    def record_holes(self, series: Series, entries: "Sequence[Entry]") -> None:
        """Keep verdicts on missing candles and what is known beside them; the default does not."""
        del series, entries

    def health(self) -> Health:
        """Tell how the destination is doing."""
        return Health()

    def set_transformer(self, transformer: Transformer, *, inplace: bool = True) -> Self:
        """Apply a function to every row before it is stored; several are applied in turn.

        Args:
            transformer: dict -> dict; None drops the row for this emitter alone.
            inplace: Accepted for compatibility; the emitter itself is always changed.
        """
        del inplace
        self._transformer = chain(self._transformer, transformer)
        return self

    def set_model(self, model: Any, *, inplace: bool = True) -> Self:  # noqa: ANN401 - the user's own class
        """Take a table model; destinations without tables ignore it."""
        del model, inplace
        return self

    def register_map(self, names: Mapping[str, str]) -> Self:
        """Rename columns before they are stored, our name -> theirs."""
        return self.set_transformer(rename(dict(names)))

    def transformed(self, row: Row) -> Row | None:
        """Return what is to be stored of a row, None if nothing.

        Raises:
            RecordError: The transformer failed on it.
        """
        if self._transformer is None:
            return row
        try:
            return self._transformer(dict(row))
        except Exception as error:
            what = f"{row.get('symbol')} {row.get('timeframe')} open_ts={row.get('open_ts')}"
            raise RecordError(
                f"{self.name}: the transformer failed on {what}: {error!r}"
            ) from error

    def transformed_rows(self, batch: "pa.Table") -> list[Row]:
        """Return a table's candles as rows to be stored, dropped ones left out."""
        rows = (self.transformed(row) for row in batch.select(list(FIELDS)).to_pylist())
        return [row for row in rows if row is not None]

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
