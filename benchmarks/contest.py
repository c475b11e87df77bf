"""A case: contenders that do the same work; played in interleaved rounds, judged by its goals."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Final, Self

from benchmarks.libraries import Library
from benchmarks.measuring import Measure, Sample, timed

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Setting:
    """What a case is built with.

    Attributes:
        quick: Less input and fewer rounds: shows that it works, not how fast it is.
        folder: Empty, for what the case writes; removed afterwards.
        stack: Takes what must be closed afterwards.
    """

    quick: bool
    folder: Path
    stack: ExitStack


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do a case's work.

    Attributes:
        name: Unique in its case.
        library: Whose way it is.
        measure: Does the work.
        units: Rows or messages in one go.
        builds: What it builds, and what it leaves out that others do.
        outcome: Does the work once and returns what can be compared with the first contender's;
            None where there is nothing to compare.
    """

    name: str
    library: Library
    measure: Measure
    units: int
    builds: str
    outcome: Callable[[], object] | None = None

    @classmethod
    def here(
        cls,
        name: str,
        library: Library,
        action: Callable[[], Any],
        units: int,
        builds: str,
        *,
        seen_as: Callable[[Any], object] | None = None,
    ) -> Self:
        """Return a contender in this process; `seen_as` makes its result comparable."""
        outcome = None if seen_as is None else lambda: seen_as(action())
        return cls(name, library, timed(action), units, builds, outcome)


@dataclass(slots=True)
class Result:
    """What a contender showed.

    Attributes:
        repeats: How often it did its work in each round.
        samples: One a round, per unit.
        same: Whether its outcome equals the first contender's; None where none was compared.
    """

    contender: Contender
    repeats: int = 1
    samples: list[Sample] = field(default_factory=list)
    same: bool | None = None

    @property
    def cpu_s(self) -> list[float]:
        """CPU seconds per unit, one a round."""
        return [sample.cpu_s for sample in self.samples]

    @property
    def wall_s(self) -> list[float]:
        """Real seconds per unit, one a round."""
        return [sample.wall_s for sample in self.samples]

    @property
    def peaks(self) -> list[int]:
        """Peak memory in bytes, one a round; empty where it was not measured."""
        return [sample.peak_bytes for sample in self.samples if sample.peak_bytes is not None]


Results = dict[str, Result]
"""By contender's name, in the order of the table."""


def ratios(results: Results, slower: str, faster: str) -> list[float]:
    """Return slower / faster in CPU time, pair by pair: both from the same round."""
    pairs = zip(results[slower].cpu_s, results[faster].cpu_s, strict=True)
    return [one / other for one, other in pairs]


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be reached.

    Attributes:
        text: In words, with the number.
        of: The contenders it speaks of.
        values: The figure in question, one a round.
        limit: The number.
        at_least: Whether more is better.
    """

    text: str
    of: tuple[str, ...]
    values: Callable[[Results], Sequence[float]]
    limit: float
    at_least: bool

    @classmethod
    def faster(cls, ours: str, peer: str, times: float) -> Self:
        """Ask for the peer's CPU time to be at least so many times ours."""
        text = f"{ours} >= {times:g}x {peer}"
        return cls(text, (ours, peer), lambda of: ratios(of, peer, ours), times, at_least=True)

    @classmethod
    def within(cls, ours: str, bound: str, times: float) -> Self:
        """Ask for our CPU time to be at most so many times that of a bound."""
        text = f"{ours} <= {times:g}x {bound}"
        return cls(text, (ours, bound), lambda of: ratios(of, ours, bound), times, at_least=False)

    @classmethod
    def peak(cls, ours: str, mib: float) -> Self:
        """Ask for a peak of memory of at most so many MiB."""
        text = f"{ours}: peak <= {mib:g} MiB"
        return cls(text, (ours,), lambda of: _mib(of[ours].peaks), mib, at_least=False)

    def met(self, value: float) -> bool:
        """Tell whether a figure reaches the goal."""
        return value >= self.limit if self.at_least else value <= self.limit


def _mib(sizes: Sequence[int]) -> list[float]:
    return [size / MIB for size in sizes]


@dataclass(frozen=True, slots=True)
class Case:
    """Some work, and who does it.

    Attributes:
        name: What `--only` selects.
        title: One line for the table.
        unit: "row", "message": what times are given per.
        facts: The input in words: how much, where from, which codec.
        contenders: The first one is what the others are compared with.
        goals: Of PERFORMANCE.md, section 3.
        rounds: Most rounds worth their time, None where any number is.
        warm_up: Whether a first run is thrown away; not where each runs in a fresh process.
    """

    name: str
    title: str
    unit: str
    facts: str
    contenders: Sequence[Contender]
    goals: Sequence[Goal] = ()
    rounds: int | None = None
    warm_up: bool = True


def without(case: Case, absent: Iterable[str]) -> Case:
    """Return the case without some contenders and the goals that speak of them."""
    gone = set(absent)
    contenders = [each for each in case.contenders if each.name not in gone]
    return replace(
        case, contenders=contenders, goals=[goal for goal in case.goals if not gone & set(goal.of)]
    )


def play(case: Case, *, rounds: int, round_s: float, tell: Callable[[str], None]) -> Results:
    """Measure a case's contenders in turn, round by round.

    The order is turned by one place every round, so that nobody always follows the same one.

    Args:
        case: With contenders that can run.
        rounds: How often each is measured.
        round_s: Least time of one measurement; fast work is repeated until it lasts so long.
        tell: Told what is going on.
    """
    results = {each.name: Result(each) for each in case.contenders}
    if case.warm_up:
        tell(f"{case.name}: warming up")
        _warm_up(results, round_s)
    rounds = min(rounds, case.rounds or rounds)
    for number in range(rounds):
        for result in _turned(list(results.values()), number):
            tell(f"{case.name}: round {number + 1} of {rounds}, {result.contender.name}")
            sample = result.contender.measure(result.repeats)
            result.samples.append(sample.each(result.repeats * result.contender.units))
    return results


def _turned(results: list[Result], places: int) -> Iterator[Result]:
    start = places % len(results)
    return chain(results[start:], results[:start])


def _warm_up(results: Results, round_s: float) -> None:
    """Run everybody once, compare outcomes, find out how many repeats make a round."""
    reference: object = None
    for result in results.values():
        contender = result.contender
        if contender.outcome is not None:
            outcome = contender.outcome()
            reference = outcome if reference is None else reference
            result.same = outcome == reference
        contender.measure(1)
        lasted_s = contender.measure(1).wall_s
        result.repeats = max(1, math.ceil(round_s / max(lasted_s, 1e-9)))
