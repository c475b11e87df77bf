"""Binance Spot on one port: REST, bulk archive and WebSocket streams at their documented paths."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from aiohttp import web

from streamforge_core.simulator.binance_limits import WeightBudget
from streamforge_core.simulator.binance_rest import (
    WEIGHT,
    Refusal,
    exchange_info,
    klines,
    klines_request,
)
from streamforge_core.simulator.feeds import Feed
from streamforge_core.simulator.web_faults import json_answer
from streamforge_core.transport.clock import Clock

_NOT_FOUND: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code>'
    "<Message>The specified key does not exist.</Message></Error>"
)
_MICROSECONDS: Final = {"MICROSECOND", "microsecond"}


class ArchiveReader(Protocol):
    """Whatever has archive files."""

    def read(self, path: str, now_ms: int) -> bytes | None:
        """Return the bytes at a path, None where there is no file (yet)."""


class BinanceRest:
    """The REST interface as request handlers.

    Args:
        feeds: Symbol -> its candles.
        clock: What time it is on the exchange.
        budget: Request weight.
    """

    def __init__(self, feeds: Mapping[str, Feed], clock: Clock, budget: WeightBudget) -> None:
        self._feeds = feeds
        self._clock = clock
        self._budget = budget

    def routes(self) -> list[web.AbstractRouteDef]:
        """Return its routes."""
        return [
            web.get("/api/v3/ping", self._handler(lambda *_: {})),
            web.get("/api/v3/time", self._handler(self._time)),
            web.get("/api/v3/exchangeInfo", self._handler(self._exchange_info)),
            web.get("/api/v3/klines", self._handler(self._klines)),
        ]

    def _handler(
        self, answer: Callable[[Mapping[str, str], int, bool], Any]
    ) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            microseconds = request.headers.get("X-MBX-TIME-UNIT") in _MICROSECONDS
            now_ms = self._clock.now_ms()
            try:
                self._budget.charge(WEIGHT[request.path], now_ms)
                # In a thread: a month of candles must not hold up pings and pushes.
                body = await asyncio.to_thread(answer, request.query, now_ms, microseconds)
            except Refusal as refusal:
                return self._refused(refusal)
            return json_answer(body, headers=self._weight_headers())

        return handle

    def _time(self, _: Mapping[str, str], now_ms: int, microseconds: bool) -> dict[str, int]:  # noqa: FBT001 - the shape of every answer
        return {"serverTime": now_ms * 1000 if microseconds else now_ms}

    def _exchange_info(self, parameters: Mapping[str, str], now_ms: int, *_: object) -> object:
        return exchange_info(self._feeds, parameters, now_ms, self._budget.limit)

    def _klines(self, parameters: Mapping[str, str], now_ms: int, microseconds: bool) -> object:  # noqa: FBT001 - likewise
        request = klines_request(self._feeds, parameters, now_ms)
        return klines(request, now_ms, microseconds=microseconds)

    def _refused(self, refusal: Refusal) -> web.Response:
        return json_answer(
            {"code": refusal.code, "msg": refusal.text},
            status=refusal.status,
            headers={**self._weight_headers(), **refusal.headers},
        )

    def _weight_headers(self) -> dict[str, str]:
        used = str(self._budget.used)
        return {"X-MBX-USED-WEIGHT": used, "X-MBX-USED-WEIGHT-1M": used}


def archive_routes(archives: list[ArchiveReader], clock: Clock) -> list[web.AbstractRouteDef]:
    """Return the bulk archive's route; the first reader that has a file answers."""

    async def read(request: web.Request) -> web.Response:
        for archive in archives:
            content = await asyncio.to_thread(archive.read, request.path, clock.now_ms())
            if content is not None:
                return web.Response(body=content, content_type="application/octet-stream")
        return web.Response(text=_NOT_FOUND, status=404, content_type="application/xml")

    return [web.get("/data/{path:.*}", read)]
