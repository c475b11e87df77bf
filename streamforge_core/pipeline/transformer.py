"""Functions from row to row, and how several become one."""

from collections.abc import Callable
from typing import Any

Row = dict[str, Any]
Transformer = Callable[[Row], Row | None]
"""Takes a candle's fields by name; returns what goes on, None to drop the row."""


def chain(first: Transformer | None, second: Transformer) -> Transformer:
    """Return both in turn; a row dropped by the first never reaches the second."""
    if first is None:
        return second

    def both(row: Row) -> Row | None:
        between = first(row)
        return None if between is None else second(between)

    return both


def rename(names: dict[str, str]) -> Transformer:
    """Return a transformer that renames fields, old name -> new name."""
    return lambda row: {names.get(key, key): value for key, value in row.items()}


def keep(*names: str) -> Transformer:
    """Return a transformer that keeps the named fields, in the given order."""
    return lambda row: {name: row[name] for name in names}
