"""Instants written as people read them; by the standard library, not by the code under test."""

from datetime import UTC, datetime


def utc(text: str) -> int:
    """Return ISO text, read as UTC, in epoch milliseconds: `utc("2024-01-15 10:30")`."""
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return round(moment.timestamp() * 1_000)
