"""One kline frame of Binance's combined stream -> a typed candle."""

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from benchmarks.contest import Case, Contender, Goal, Setting
from benchmarks.inputs import SYMBOL, days, kline_frames
from benchmarks.libraries import MSGSPEC, PYDANTIC, STREAMFORGE, Library
from benchmarks.measuring import timed
from streamforge_core.exchanges.binance.messages import COMBINED_KLINE
from streamforge_core.exchanges.binance.protocol import BinanceStream
from streamforge_core.model.exchange import Event
from streamforge_core.model.kline import Kline, Record
from streamforge_core.transport.clock import SystemClock

FRAMES: Final = 1_000

Decode = Callable[[bytes], Any]


def build(setting: Setting) -> Case:
    """Return the case; its input is small enough for `--quick` too."""
    del setting
    frames = kline_frames([SYMBOL], FRAMES)
    size = sum(map(len, frames)) / len(frames)
    return Case(
        name="decode_kline",
        title="one Binance kline frame -> a typed candle",
        unit="frame",
        facts=f"{FRAMES} different frames of {size:.0f} bytes on average, {days()[0]}; one at a "
        "time, as bytes. Outcome: times, prices and volume of all",
        contenders=[_contender(frames, *way) for way in _ways()],
        goals=[Goal.within("StreamForge -> Record", "msgspec typed Struct", 1.3)],
    )


def _ways() -> list[tuple[str, Library, Decode, str]]:
    stream = BinanceStream()
    parse, seen_ts = stream.parse, SystemClock().now_ms()

    def to_record(frame: bytes) -> list[Event]:
        return parse(frame, seen_ts=seen_ts)

    def to_kline(frame: bytes) -> Kline:
        (record,) = parse(frame, seen_ts=seen_ts)
        return record.to_kline()  # type: ignore[union-attr]  # every frame here is a kline

    return [
        (
            "StreamForge -> Record",
            STREAMFORGE,
            to_record,
            "the hot record: values checked (finite, low <= open, close <= high), end computed, "
            "vwap, symbol interned",
        ),
        (
            "StreamForge -> Kline",
            STREAMFORGE,
            to_kline,
            "likewise, then the public pydantic model by its trusted constructor",
        ),
        (
            "msgspec typed Struct",
            MSGSPEC,
            COMBINED_KLINE.decode,
            "the wire's own struct: nothing checked, nothing computed; the bound of any decoder "
            "built on msgspec",
        ),
        (
            "msgspec + Kline(**)",
            PYDANTIC,
            lambda frame: Kline(**msgspec.json.decode(frame)["data"]["k"]),
            "untyped dict, then our public model with full validation; no source, no vwap",
        ),
        (
            "json + Kline(**)",
            PYDANTIC,
            lambda frame: Kline(**json.loads(frame)["data"]["k"]),
            "likewise with the standard library's parser",
        ),
    ]


def _contender(
    frames: Sequence[bytes], name: str, library: Library, decode: Decode, builds: str
) -> Contender:
    def all_of_them() -> None:
        for frame in frames:
            decode(frame)

    def outcome() -> object:
        return [_values(decode(frame)) for frame in frames]

    return Contender(name, library, timed(all_of_them), len(frames), builds, outcome)


def _values(decoded: Any) -> tuple[float, ...]:  # noqa: ANN401 - whatever the contender builds
    """Return what all of them have in common."""
    if isinstance(decoded, list):
        (decoded,) = decoded
    if isinstance(decoded, Record | Kline):
        k = decoded
        return (k.open_ts, k.end_ts, k.open, k.high, k.low, k.close, k.volume)
    k = decoded.data.k
    return (k.t, k.T, k.o, k.h, k.l, k.c, k.v)
