"""Binance's socket language: what to send to subscribe, and what a frame says."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from streamforge_core.errors import MalformedMessage, RequestRefused
from streamforge_core.exchanges.binance.constants import (
    MAX_MESSAGES_PER_S,
    MAX_PARAMS_PER_FRAME,
    MAX_STREAMS,
    SPOT,
    check_served,
    check_symbol,
)
from streamforge_core.exchanges.binance.messages import (
    ABSENT,
    COMBINED_KLINE,
    ENVELOPE,
    EVENT_HEAD,
    EVENTS,
    KLINE,
    Envelope,
    ErrorBody,
)
from streamforge_core.exchanges.binance.normalizer import normalize
from streamforge_core.model.exchange import (
    Ack,
    Event,
    Ignored,
    Market,
    Notice,
    Refusal,
    Subscription,
)

# A frame nested deeper than any document: msgspec gives up with a RecursionError.
_NOT_JSON: Final = (msgspec.DecodeError, UnicodeError, RecursionError)
_SHOWN_BYTES: Final = 200

_decode_kline: Final = COMBINED_KLINE.decode


class BinanceStream:
    """The combined stream of one Binance market, read and spoken but not moved.

    Source: binance-spot-api-docs, web-socket-streams.md, read 2026-07.
    """

    def __init__(self, market: Market = SPOT) -> None:
        self.market = market
        self.max_subscriptions = MAX_STREAMS
        self.max_messages_per_s: float = MAX_MESSAGES_PER_S

    def path(self) -> str:
        """Return the path under which every event is wrapped with its stream's name."""
        return "/stream"

    def check(self, subscription: Subscription) -> None:
        """Refuse a symbol or timeframe that cannot be.

        Raises:
            ConfigError: With Binance's form of the symbol, or the timeframes it serves.
        """
        check_symbol(subscription.symbol)
        check_served(subscription.timeframe, self.market)

    def subscribe(self, wanted: Sequence[Subscription], *, first_id: int) -> list[str]:
        """Return the frames to send, at most 200 streams each, ids counted up from `first_id`."""
        return self._requests("SUBSCRIBE", wanted, first_id)

    def unsubscribe(self, unwanted: Sequence[Subscription], *, first_id: int) -> list[str]:
        """Return the frames to send to end subscriptions, likewise."""
        return self._requests("UNSUBSCRIBE", unwanted, first_id)

    def _requests(
        self, method: str, subscriptions: Sequence[Subscription], first_id: int
    ) -> list[str]:
        names = [self._stream_name(subscription) for subscription in subscriptions]
        starts = range(0, len(names), MAX_PARAMS_PER_FRAME)
        bodies = (
            {"method": method, "params": names[start : start + MAX_PARAMS_PER_FRAME], "id": number}
            for number, start in enumerate(starts, first_id)
        )
        return [msgspec.json.encode(body).decode() for body in bodies]

    def _stream_name(self, subscription: Subscription) -> str:
        # An uppercase symbol is acked and then never sends anything (binance-connector-java #24).
        timeframe = self.market.timeframes[subscription.timeframe]
        return f"{subscription.symbol.lower()}@kline_{timeframe}"

    def parse(self, frame: str | bytes, *, seen_ts: int) -> list[Event]:
        """Return what a frame says, in its order.

        Args:
            frame: As received.
            seen_ts: UTC epoch milliseconds at which it was received.

        Raises:
            MalformedMessage: It is not what Binance documents.
        """
        try:
            message = _decode_kline(frame).data
        except _NOT_JSON:  # no kline, or a broken one: rare on this stream, so found out here
            return self._parse_other(frame, seen_ts)
        return [normalize(message, seen_ts=seen_ts, market=self.market)]

    def _parse_other(self, frame: str | bytes, seen_ts: int) -> list[Event]:
        try:
            text = frame.encode() if isinstance(frame, str) else frame
            return list(self._events(text, seen_ts))
        except _NOT_JSON as error:
            raise MalformedMessage(
                f"{self.market.source}: {error} in {frame[:_SHOWN_BYTES]!r}"
            ) from error

    def _events(self, text: bytes, seen_ts: int) -> Iterator[Event]:
        if text.lstrip()[:1] == b"[":  # a raw stream of several symbols
            yield from self._pushed(text, "", seen_ts)
            return
        envelope = ENVELOPE.decode(text)
        if envelope.data != ABSENT:
            yield from self._pushed(bytes(envelope.data), envelope.stream, seen_ts)
        else:
            yield _reply(envelope) or self._event(text, "", seen_ts)

    def _pushed(self, data: bytes, stream: str, seen_ts: int) -> Iterator[Event]:
        """Read an event, or (streams of several symbols) a list of events."""
        items = EVENTS.decode(data) if data.lstrip()[:1] == b"[" else [data]
        for item in items:
            yield self._event(bytes(item), stream, seen_ts)

    def _event(self, text: bytes, stream: str, seen_ts: int) -> Event:
        kind = EVENT_HEAD.decode(text).e
        if kind == "kline":
            return normalize(KLINE.decode(text), seen_ts=seen_ts, market=self.market)
        if kind == "serverShutdown":
            return Notice("shutdown", "Binance announces that it will close this connection.")
        # bookTicker events have no word of their own: they are named by their stream.
        return Ignored(kind or stream.partition("@")[2].partition("@")[0] or "unknown")


def _reply(envelope: Envelope) -> Event | None:
    error = envelope.error or ErrorBody(envelope.code, envelope.msg)
    if error.code is not None:
        refused = RequestRefused(f"Binance refused a request: {error.msg}", code=error.code)
        return Refusal(envelope.id, refused)
    return Ack(envelope.id) if envelope.result != ABSENT else None
