"""Several live streams as one."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Final, Literal

from streamforge_core.errors import ConfigError
from streamforge_core.model.kline import Kline
from streamforge_core.runners.runner import Runner

_log = logging.getLogger(__name__)

MAX_WAITING: Final = 1_000
"""Candles that may wait for the consumer before the streams are held up."""


async def merge_streams(
    *runners: Runner | AsyncIterator[Kline], on_error: Literal["raise", "continue"] = "raise"
) -> AsyncGenerator[Kline, None]:
    """Yield the candles of several runners as they come; ends when all of them have ended.

    Args:
        runners: Runners, or asynchronous iterators of candles.
        on_error: "raise" ends all as soon as one fails; "continue" logs it and goes on with the
            others, and raises when none is left that has not failed.

    Raises:
        ConfigError: `on_error` is neither.
        Exception: What a stream failed with; the others are closed first.
    """
    if on_error not in ("raise", "continue"):
        raise ConfigError(f'on_error={on_error!r} is not known. Use "raise" or "continue".')
    waiting: asyncio.Queue[Kline | _End] = asyncio.Queue(MAX_WAITING)
    tasks = [asyncio.create_task(_pump(one, waiting)) for one in runners]
    failures: list[Exception] = []
    ended = 0
    try:
        while ended < len(tasks):
            item = await waiting.get()
            if isinstance(item, Kline):
                yield item
                continue
            ended += 1
            if item.error is not None:
                failures.append(item.error)
                if on_error == "raise" or len(failures) == len(tasks):
                    raise item.error
                _log.error("One of %d merged streams failed: %r", len(tasks), item.error)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class _End:
    """The last item of a stream, behind everything it gave."""

    error: Exception | None = None


async def _pump(one: Runner | AsyncIterator[Kline], waiting: "asyncio.Queue[Kline | _End]") -> None:
    stream = one.stream() if isinstance(one, Runner) else one
    end = _End()
    try:
        async for kline in stream:
            await waiting.put(kline)
    except Exception as error:  # noqa: BLE001 - carried to whoever iterates
        end = _End(error)
    finally:
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()
    await waiting.put(end)
