"""Binance's stream messages: a client's request to the answer, a candle to its event.

Pure text and values; the connection is elsewhere.
Source: binance-spot-api-docs `web-socket-streams.md`, text of 2026-07.
"""

import json
import re
from typing import Any, Final, NamedTuple

from streamforge_core.simulator.boundaries import LENGTH_MS
from streamforge_core.simulator.feeds import Row

METHODS: Final = (
    *("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY"),
)
_STREAM: Final = re.compile(r"(?P<symbol>[a-z0-9]+)@kline_(?P<interval>\w+)")
_TEXT_ID: Final = re.compile(r"[A-Za-z0-9]{1,36}")
_CLOSING_DELAY_MS: Final = 3
"""How long after its last millisecond a candle is announced as final."""


class FrameError(Exception):
    """A request that is answered with an error.

    Attributes:
        answer: What to send.
    """

    def __init__(self, code: int, text: str, **further: object) -> None:
        super().__init__(text)
        self.answer = {"code": code, "msg": text, **further}


class ClientRequest(NamedTuple):
    """A well-formed request."""

    method: str
    params: list[Any]
    id: int | str | None


def stream_of(name: str) -> tuple[str, str] | None:
    """Return symbol and interval of a stream; None for names that stay silent.

    Uppercase symbols and unknown streams are accepted by the exchange and never send anything; so
    are, here, the variants with another time zone.
    """
    match = _STREAM.fullmatch(name)
    if match is None or match["interval"] not in LENGTH_MS:
        return None
    return match["symbol"].upper(), match["interval"]


def client_request(text: str) -> ClientRequest:
    """Read what a client sent.

    Raises:
        FrameError: It is no request; with the documented answer.
    """
    try:
        request = json.loads(text)
    except ValueError as error:
        line, column = getattr(error, "lineno", 1), getattr(error, "colno", 1)
        raise FrameError(
            3, f"Invalid JSON: expected value at line {line} column {column}"
        ) from None
    if not isinstance(request, dict) or "method" not in request:
        column = len(text)
        raise FrameError(2, f"Invalid request: missing field `method` at line 1 column {column}")
    _check_method(text, request["method"])
    _check_id(request.get("id"))
    params = request.get("params") or []
    if not isinstance(params, list):
        raise FrameError(2, "Invalid request: params must be an array")
    return ClientRequest(request["method"], params, request.get("id"))


def check_streams(request: ClientRequest) -> list[str]:
    """Return the stream names of a SUBSCRIBE or UNSUBSCRIBE.

    Raises:
        FrameError: One is not a text.
    """
    for name in request.params:
        if not isinstance(name, str):
            raise FrameError(2, "Invalid request: stream name must be a string")
    return list(request.params)


def check_property(request: ClientRequest) -> bool | None:
    """Return the value that SET_PROPERTY gives to "combined", None for GET_PROPERTY.

    Raises:
        FrameError: With the documented answer.
    """
    expected = 2 if request.method == "SET_PROPERTY" else 1
    if len(request.params) > expected:
        raise FrameError(2, "Invalid request: too many parameters")
    name = request.params[0] if request.params else None
    if not isinstance(name, str):
        raise FrameError(2, "Invalid request: property name must be a string")
    if name != "combined":
        raise FrameError(0, "Unknown property", id=request.id)
    if expected == 1:
        return None
    value = request.params[1] if len(request.params) == expected else None
    if not isinstance(value, bool):
        raise FrameError(1, "Invalid value type: expected Boolean")
    return value


def closing_event(symbol: str, interval: str, row: Row, *, microseconds: bool) -> dict[str, Any]:
    """Return the event that ends a candle, a few milliseconds after its last one."""
    event_ms = row.close_ms + _CLOSING_DELAY_MS
    return _event(symbol, interval, row, event_ms, is_final=True, microseconds=microseconds)


def running_event(
    symbol: str, interval: str, row: Row, now_ms: int, *, microseconds: bool
) -> dict[str, Any]:
    """Return the event of a candle that still runs."""
    return _event(symbol, interval, row, now_ms, is_final=False, microseconds=microseconds)


def shutdown_event(now_ms: int, *, microseconds: bool) -> dict[str, Any]:
    """Return the announcement of a maintenance."""
    return {"e": "serverShutdown", "E": now_ms * 1000 if microseconds else now_ms}


def _event(
    symbol: str, interval: str, row: Row, event_ms: int, *, is_final: bool, microseconds: bool
) -> dict[str, Any]:
    unit, last = (1000, 999) if microseconds else (1, 0)
    return {
        "e": "kline",
        "E": event_ms * unit,
        "s": symbol,
        "k": {
            "t": row.open_ms * unit,
            "T": row.close_ms * unit + last,
            "s": symbol,
            "i": interval,
            "f": row.first_id,
            "L": row.last_id,
            "o": row.open,
            "c": row.close,
            "h": row.high,
            "l": row.low,
            "v": row.volume,
            "n": row.trades,
            "x": is_final,
            "q": row.quote_volume,
            "V": row.taker_volume,
            "Q": row.taker_quote_volume,
            "B": "0",
        },
    }


def _check_method(text: str, method: object) -> None:
    if method in METHODS:
        return
    written = json.dumps(method)
    known = ", ".join(f"`{name}`" for name in METHODS)
    # The exchange counts to the last character of the unknown word.
    column = text.find(written) + len(written) if written in text else len(text)
    raise FrameError(
        2,
        f"Invalid request: unknown variant {method}, expected one of {known} "
        f"at line 1 column {column}",
    )


def _check_id(identity: object) -> None:
    is_number = (
        isinstance(identity, int)
        and not isinstance(identity, bool)
        and -(2**63) <= identity < 2**63
    )
    is_text = isinstance(identity, str) and _TEXT_ID.fullmatch(identity) is not None
    if identity is not None and not is_number and not is_text:
        # The prose allows signed numbers and texts; the message was never adapted.
        raise FrameError(2, "Invalid request: request ID must be an unsigned integer")
