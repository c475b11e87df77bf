"""Which timeframe is folded from which: a tree, because not every target divides the next."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from streamforge_core.errors import ConfigError
from streamforge_core.model.gap import Hole
from streamforge_core.model.kline import Series
from streamforge_core.model.timeframe import TIMEFRAMES, check_tiles, tiles

Absent = Literal["unknown", "no_trades"]
"""What an interval without a row means when no verdict covers it."""

Holes = Iterable[Hole | Mapping[str, object]]
"""Verdicts on missing candles of one series, or of every series at hand."""

Spans = Sequence[tuple[int, int]]
"""Runs of opens where nothing exists, first and last inclusive, ascending."""


class Step(NamedTuple):
    """One fold: `target` candles are made of `parent` candles."""

    target: str
    parent: str


def cascade(base: str, targets: Iterable[str]) -> list[Step]:
    """Return the folds that lead from a base to its targets, ascending, each target once.

    A target is folded from the largest timeframe that tiles it among the base and the other
    targets, so the order in which they are named has no meaning.

    Raises:
        ConfigError: A target is not filled exactly by its base.
        UnknownTimeframe: One of the labels is not in the table.
    """
    wanted = set(targets)
    check_tiles(base, sorted(wanted))
    ascending = [label for label in TIMEFRAMES if label in wanted]
    steps: list[Step] = []
    for target in ascending:
        below = [step.target for step in steps if tiles(step.target, target)]
        steps.append(Step(target, below[-1] if below else base))
    return steps


def as_list(timeframes: Iterable[str] | str) -> list[str]:
    """Return one label or several as a list, each once, in the given order."""
    return [timeframes] if isinstance(timeframes, str) else list(dict.fromkeys(timeframes))


def check_absent(absent: str) -> None:
    """Refuse a meaning of absent intervals that does not exist.

    Raises:
        ConfigError: Naming the two that do.
    """
    if absent not in ("unknown", "no_trades"):
        raise ConfigError(
            f'absent={absent!r} is not known. Use "unknown" (an absent interval withholds its '
            'candle) or "no_trades" (the source omits intervals without trades).'
        )


def holes_by_series(holes: Holes | Mapping[Series, Holes]) -> Callable[[Series], Holes]:
    """Return a function that tells the holes of a series.

    Args:
        holes: Holes for every series, or a mapping from series to its own.

    Raises:
        ConfigError: A mapping whose keys are no `Series`.
    """
    if not isinstance(holes, Mapping):
        common = list(holes)
        return lambda _: common
    if not all(isinstance(key, Series) for key in holes):
        raise ConfigError("holes is a mapping: its keys must be Series, its values their holes.")
    by_series = dict(holes)
    return lambda series: by_series.get(series, ())


class OneBase:
    """Refuses a symbol that comes in two base timeframes: its higher candles would come twice."""

    def __init__(self) -> None:
        self._bases: dict[tuple[str, str], str] = {}

    def check(self, series: Series) -> None:
        """Remember the base of a series.

        Raises:
            ConfigError: The symbol came in another base before.
        """
        base = self._bases.setdefault((series.source, series.symbol), series.timeframe)
        if base != series.timeframe:
            raise ConfigError(
                f"{series.symbol} comes in {base} and in {series.timeframe}: each would give its "
                "own higher candles. Keep one timeframe per symbol."
            )
