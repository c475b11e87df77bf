"""Records between the sockets that bring them and whoever takes them: bounded, taken in batches."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Final

from streamforge_core.model.kline import Record

MAX_WAITING: Final = 10_000
"""Records that may wait before the sockets are no longer read."""


class Outbox:
    """Takes records without a hop per record, gives them in batches, numbers them.

    Args:
        max_waiting: Records that may wait before `put` asks to be awaited.
    """

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self._max_waiting = max_waiting
        self._waiting: list[Record] = []
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._closed = False
        self._error: BaseException | None = None
        self.passed = 0
        """Records put in so far: the `seq` of the newest."""

    def put(self, records: Iterable[Record]) -> Awaitable[None] | None:
        """Add records; returns something to await when too many wait."""
        for record in records:
            self.passed += 1
            record.seq = self.passed
            self._waiting.append(record)
        self._filled.set()
        return self._until_emptied() if len(self._waiting) >= self._max_waiting else None

    async def _until_emptied(self) -> None:
        while len(self._waiting) >= self._max_waiting and not self._closed:
            self._emptied.clear()
            await self._emptied.wait()

    async def take(self) -> list[Record]:
        """Wait for records and return all of them; none when it was closed and is empty.

        Raises:
            BaseException: What it was closed with, after everything before it was taken.
        """
        while not self._waiting and not self._closed:
            self._filled.clear()
            await self._filled.wait()
        if not self._waiting and self._error is not None:
            raise self._error
        return self.take_now()

    def take_now(self) -> list[Record]:
        """Return what waits, without waiting for more."""
        taken, self._waiting = self._waiting, []
        self._emptied.set()
        return taken

    def close(self, error: BaseException | None = None) -> None:
        """Let nobody wait any longer; the first error given is raised to whoever takes."""
        self._error = self._error or error
        self._closed = True
        self._filled.set()
        self._emptied.set()
