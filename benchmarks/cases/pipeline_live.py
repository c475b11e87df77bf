"""Frames of many symbols -> base candles each once, five higher timeframes; sockets left out."""

import tracemalloc
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

from benchmarks.contest import Case, Contender, Goal, Setting
from benchmarks.inputs import TIMEFRAMES, days, kline_frames
from benchmarks.libraries import MSGSPEC, STREAMFORGE
from streamforge_core.exchanges.binance.constants import SPOT
from streamforge_core.exchanges.binance.messages import COMBINED_KLINE
from streamforge_core.exchanges.binance.protocol import BinanceStream
from streamforge_core.model.kline import Record, Series
from streamforge_core.runners.flow import Flow
from streamforge_core.transport.clock import SystemClock

_UPDATES: Final = 20
_KIB: Final = 1024


class _Load(NamedTuple):
    """What arrives.

    Attributes:
        suffix: Of the contenders' names.
        symbols: How many.
        minutes: Of each.
        updates: Frames a minute, the last one closed.
    """

    suffix: str
    symbols: int
    minutes: int
    updates: int = _UPDATES


def build(setting: Setting) -> Case:
    """Return the case: some ten thousand frames, or a tenth of them."""
    part = 10 if setting.quick else 1
    usual = _Load("", 100, 60 // part)
    loads = [
        usual,
        _Load(", all closed", 100, 600 // part, updates=1),
        _Load(", 1 symbol", 1, 6_000 // part),
        _Load(", 2,000 symbols", 2_000, max(2, 5 // part)),
    ]
    return Case(
        name="pipeline_live",
        title=f"100 symbols, {', '.join(TIMEFRAMES)}, one frame in {_UPDATES} closed",
        unit="frame",
        facts=f"frames with the numbers of {days()[0]}, symbols interleaved; parsed, each closed "
        "candle let through once, folded; the state begins empty each time",
        contenders=[each for load in loads for each in _contenders(load)],
        goals=[
            Goal.within("StreamForge", "msgspec typed Struct", 1.4),
            Goal(
                "StreamForge <= 4 kB of memory per symbol",
                ("StreamForge",),
                lambda _: [_kib_per_symbol(usual)],
                4,
                at_least=False,
            ),
        ],
    )


def _contenders(load: _Load) -> list[Contender]:
    symbols = [f"S{number:04d}USDT" for number in range(load.symbols)]
    frames = kline_frames(symbols, load.minutes, updates=load.updates)
    ours = Contender.here(
        f"StreamForge{load.suffix}",
        STREAMFORGE,
        partial(_run, symbols, frames),
        len(frames),
        f"{load.symbols} symbols x {load.minutes} minutes; records checked, deduplicated, gaps "
        "watched, folded into five timeframes with exact sums",
    )
    bound = Contender.here(
        f"msgspec typed Struct{load.suffix}",
        MSGSPEC,
        partial(_decode, frames),
        len(frames),
        "the same frames decoded into the wire's struct, nothing else: the bound",
    )
    return [ours, bound]


def _decode(frames: Sequence[bytes]) -> None:
    decode = COMBINED_KLINE.decode
    for frame in frames:
        decode(frame)


def _run(symbols: Sequence[str], frames: Sequence[bytes]) -> Flow:
    flow = Flow({Series(SPOT.source, symbol, "1m"): TIMEFRAMES for symbol in symbols})
    parse, take, seen_ts = BinanceStream().parse, flow.take, SystemClock().now_ms()
    for frame in frames:
        for event in parse(frame, seen_ts=seen_ts):
            if isinstance(event, Record):
                take(event)
    return flow


def _kib_per_symbol(load: _Load) -> float:
    symbols = [f"S{number:04d}USDT" for number in range(load.symbols)]
    frames = kline_frames(symbols, load.minutes, updates=1)
    _run(symbols[:1], frames[:1])  # what is made once for all
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        flow = _run(symbols, frames)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    del flow
    return (after - before) / _KIB / len(symbols)
