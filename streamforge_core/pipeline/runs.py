"""Which candles of a series were dealt with, as runs of neighbours: small however many they are."""

from bisect import bisect_left, bisect_right
from typing import Final

from streamforge_core.model.timeframe import LENGTH_MS, next_open

MOST_RUNS: Final = 512
"""Runs told apart; beyond, the two oldest become one and what lay between counts as dealt with."""


class Runs:
    """A set of opens that mostly follow one another."""

    __slots__ = ("_edges", "_length", "_timeframe")

    def __init__(self, timeframe: str) -> None:
        self._timeframe = timeframe
        self._length = LENGTH_MS.get(timeframe, 0)
        # First and last open of each run, ascending.
        self._edges: list[int] = []

    def __contains__(self, open_ts: int) -> bool:
        position = bisect_right(self._edges, open_ts)
        return position % 2 == 1 or (position > 0 and self._edges[position - 1] == open_ts)

    def add(self, open_ts: int) -> None:
        """Add an open that is not inside."""
        edges = self._edges
        if edges and self._next(edges[-1]) == open_ts:
            edges[-1] = open_ts
            return
        position = bisect_left(edges, open_ts)
        edges[position:position] = [open_ts, open_ts]
        for gap in (position + 1, position - 1):
            self._close(gap)
        if len(edges) > 2 * MOST_RUNS:
            del edges[1:3]

    def last(self) -> int | None:
        """Return the newest open inside, None if there is none."""
        return self._edges[-1] if self._edges else None

    def _close(self, gap: int) -> None:
        """Join two runs if nothing lies between the end of one, at a position, and the next."""
        edges = self._edges
        if 0 < gap < len(edges) - 1 and self._next(edges[gap]) == edges[gap + 1]:
            del edges[gap : gap + 2]

    def _next(self, open_ts: int) -> int:
        return open_ts + self._length if self._length else next_open(open_ts, self._timeframe)
