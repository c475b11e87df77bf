"""Frames of many symbols -> base candles each once, five higher timeframes; sockets left out."""

import tracemalloc
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

from benchmarks.contest import Case, Contender, Goal, Setting
from benchmarks.inputs import TIMEFRAMES, days, kline_frames
from benchmarks.libraries import MSGSPEC, STREAMFORGE
from benchmarks.measuring import Measure, Sample, timed
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
        "candle let through once, folded; what many symbols cost is what growth costs",
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
    symbols = _names(load.symbols)
    frames = kline_frames(symbols, load.minutes, updates=load.updates)
    first = load.symbols * load.updates
    ours = Contender(
        f"StreamForge{load.suffix}",
        STREAMFORGE,
        _measure(symbols, frames[:first], frames[first:]),
        len(frames) - first,
        f"{load.symbols} symbols, {load.minutes} minutes, the first of which is not counted; "
        "records checked, deduplicated, gaps watched, folded with exact sums",
    )
    bound = Contender.here(
        f"msgspec typed Struct{load.suffix}",
        MSGSPEC,
        partial(_decode, frames),
        len(frames),
        "the same frames decoded into the wire's struct, nothing else: the bound",
    )
    return [ours, bound]


def _names(count: int) -> list[str]:
    return [f"S{number:04d}USDT" for number in range(count)]


def _decode(frames: Sequence[bytes]) -> None:
    decode = COMBINED_KLINE.decode
    for frame in frames:
        decode(frame)


def _measure(symbols: Sequence[str], first: Sequence[bytes], rest: Sequence[bytes]) -> Measure:
    """Return a measure of frames into a state that has seen every symbol before."""

    def measure(repeats: int) -> Sample:
        samples = []
        for _ in range(repeats):
            flow = _flow(symbols)
            _feed(flow, first)
            samples.append(timed(partial(_feed, flow, rest))(1))
        return Sample(sum(each.cpu_s for each in samples), sum(each.wall_s for each in samples))

    return measure


def _flow(symbols: Sequence[str]) -> Flow:
    return Flow({Series(SPOT.source, symbol, "1m"): TIMEFRAMES for symbol in symbols})


def _feed(flow: Flow, frames: Sequence[bytes]) -> None:
    parse, take, seen_ts = BinanceStream().parse, flow.take, SystemClock().now_ms()
    for frame in frames:
        for event in parse(frame, seen_ts=seen_ts):
            if isinstance(event, Record):
                take(event)


def _kib_per_symbol(load: _Load) -> float:
    """Return what the state of one symbol takes after some closed candles."""
    symbols = _names(load.symbols)
    frames = kline_frames(symbols, load.minutes)
    _feed(_flow(symbols[:1]), frames[:1])  # what is made once for all
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        flow = _flow(symbols)
        _feed(flow, frames)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    del flow
    return (after - before) / _KIB / len(symbols)
