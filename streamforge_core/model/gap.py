"""Missing candles: runs of absent opens, and the verdict on why nothing is there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Self

Verdict = Literal["pending", "our_loss", "late", "no_trades", "exchange_outage"]

EMPTY: Final = frozenset({"no_trades", "exchange_outage"})
"""Verdicts that say nothing exists there."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Who was asked about a hole, when, and what came back.

    Attributes:
        asked: Such as "rest", "archive", "rest before", "rest after".
        at_ms: UTC epoch milliseconds of the answer.
        answer: What came, in words: "0 rows", "first row opens 2023-03-24T14:00:00Z".
    """

    asked: str
    at_ms: int
    answer: str


@dataclass(frozen=True, slots=True)
class Hole:
    """A run of consecutive missing candles in one series.

    Attributes:
        first_open_ts: Open of the first missing candle, UTC epoch milliseconds.
        last_open_ts: Open of the last missing candle (inclusive).
        count: How many candles are missing.
        verdict: "pending" until proven.
        provisional: True while the venue's archive, the last witness, is not yet published.
        evidence: Who was asked and what came.
        decided_at: UTC epoch milliseconds, None while pending.
    """

    first_open_ts: int
    last_open_ts: int
    count: int
    verdict: Verdict = "pending"
    provisional: bool = False
    evidence: tuple[Evidence, ...] = field(default=())
    decided_at: int | None = None

    def is_final(self) -> bool:
        """Tell whether it is proven that nothing exists here."""
        return self.verdict in EMPTY and not self.provisional

    def is_explained(self) -> bool:
        """Tell whether there is a reason, if only a provisional one."""
        return self.verdict in EMPTY

    def __getitem__(self, name: str) -> object:
        """Read an attribute by name, as from a row."""
        return getattr(self, name)

    @classmethod
    def of(cls, hole: "Hole | Mapping[str, object]") -> Self:
        """Accept a hole or a mapping with its attributes' names."""
        if isinstance(hole, cls):
            return hole
        names = ("first_open_ts", "last_open_ts", "count", "verdict", "provisional", "decided_at")
        known = {name: hole[name] for name in names if name in hole}  # type: ignore[operator]  # Hole has no `in`; a mapping does
        return cls(**{"count": 0, **known})  # type: ignore[arg-type]  # checked by use


def final_spans(holes: Iterable["Hole | Mapping[str, object]"]) -> list[tuple[int, int]]:
    """Return the proven-empty spans of open times, first and last inclusive, ascending."""
    proven = (hole for hole in map(Hole.of, holes) if hole.is_final())
    return sorted((hole.first_open_ts, hole.last_open_ts) for hole in proven)
