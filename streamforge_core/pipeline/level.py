"""One timeframe of a live aggregation: the buckets in the making, and which were finished."""

from collections.abc import Iterator

from streamforge_core.model.kline import Series
from streamforge_core.model.timeframe import LENGTH_MS, end_of, open_of
from streamforge_core.pipeline.bucket import Bucket
from streamforge_core.pipeline.cascade import Step
from streamforge_core.pipeline.runs import Runs


class Level:
    """The buckets of one target of one series.

    Attributes:
        series: Of the target.
        child: The level it is folded from; None if that is the base.
        parents: The levels that are folded from it.
        current: The newest bucket begun and not finished.
        older: Incomplete buckets that time has passed, by open.
    """

    __slots__ = (
        "_done",
        "_length",
        "child",
        "current",
        "older",
        "parents",
        "part_length",
        "series",
    )

    def __init__(self, series: Series, child: "Level | None", part_length: int) -> None:
        self.series = series
        self.child = child
        self.parents: list[Level] = []
        self.part_length = part_length
        # A month has none, and a week is anchored on a Monday: those ask the calendar.
        regular = series.timeframe not in ("1w", "1M")
        self._length = LENGTH_MS[series.timeframe] if regular else 0
        self.current: Bucket | None = None
        self.older: dict[int, Bucket] = {}
        self._done = Runs(series.timeframe)

    def holding(self, ts: int) -> Bucket | None:
        """Return the bucket that contains an instant, begun if need be; None if it is finished."""
        current = self.current
        if current is not None and current.open_ts <= ts <= current.end_ts:
            return current
        open_ts = self.open_of(ts)
        bucket = self.older.get(open_ts) if self.older else None
        if bucket is None and open_ts not in self._done:
            bucket = self._begin(open_ts)
        return bucket

    def waiting(self) -> Iterator[Bucket]:
        """Yield the buckets that are not finished."""
        yield from self.older.values()
        if self.current is not None:
            yield self.current

    def unfinished(self, bucket: Bucket, length: int) -> Iterator[Bucket]:
        """Yield what is not finished inside a bucket of the level above.

        Args:
            bucket: Of the level above.
            length: Of this level's own, in milliseconds.
        """
        current = self.current
        for open_ts in range(bucket.open_ts, bucket.end_ts, length):
            if current is not None and current.open_ts == open_ts:
                yield current
            elif open_ts in self.older:
                yield self.older[open_ts]

    def is_waiting(self, bucket: Bucket) -> bool:
        """Tell whether a bucket is not finished."""
        return bucket is self.current or bucket.open_ts in self.older

    def finish(self, bucket: Bucket) -> None:
        """Let go of a bucket for good."""
        if bucket is self.current:
            self.current = None
        else:
            del self.older[bucket.open_ts]
        self._done.add(bucket.open_ts)

    def open_of(self, ts: int) -> int:
        """Return the open of the bucket that contains an instant."""
        return ts - ts % self._length if self._length else open_of(ts, self.series.timeframe)

    def end_of(self, ts: int) -> int:
        """Return the last millisecond of the bucket that contains an instant."""
        return self._end_of(self.open_of(ts))

    def _end_of(self, open_ts: int) -> int:
        length = self._length
        return open_ts + length - 1 if length else end_of(open_ts, self.series.timeframe)

    def _begin(self, open_ts: int) -> Bucket:
        end_ts = self._end_of(open_ts)
        bucket = Bucket(open_ts, end_ts, (end_ts + 1 - open_ts) // self.part_length)
        if self.current is None or open_ts > self.current.open_ts:
            if self.current is not None:
                self.older[self.current.open_ts] = self.current
            self.current = bucket
        else:
            self.older[open_ts] = bucket
        for parent in self.parents:
            parent.holding(open_ts)
        return bucket


def levels_of(series: Series, steps: tuple[Step, ...]) -> list[Level]:
    """Return the levels of a series, linked, ascending."""
    levels: dict[str, Level] = {}
    for step in steps:
        child = levels.get(step.parent)
        target = Series(series.source, series.symbol, step.target)
        level = Level(target, child, LENGTH_MS[step.parent])
        levels[step.target] = level
        if child is not None:
            child.parents.append(level)
    return list(levels.values())
