"""How far long work has come: told to a caller, or drawn where standard error is a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a piece of work has come.

    Attributes:
        done: Candles looked after so far: stored, explained or given up.
        total: Candles that were missing at the start.
    """

    done: int
    total: int


Tell = Callable[[Progress], None]


@contextmanager
def progress_on_terminal(tell: Tell | None, title: str) -> Iterator[Tell]:
    """Yield whom to tell: the caller's function, else a bar on a terminal, else nobody."""
    if tell is not None:
        yield tell
    elif sys.stderr.isatty():
        yield from _bar(title)
    else:
        yield lambda _: None


def _bar(title: str) -> Iterator[Tell]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None)
        yield lambda progress: bar.update(task, completed=progress.done, total=progress.total)
