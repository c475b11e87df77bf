from math import inf
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamforge_core.errors import MalformedMessage
from streamforge_core.exchanges.binance.messages import KLINE, KlineEvent
from streamforge_core.exchanges.binance.normalizer import normalize
from streamforge_core.model.exchange import Market
from streamforge_core.model.kline import Kline, Record
from tests.support.binance_frames import NEW_YEAR_2025, kline_event
from tests.support.recordings import recorded

SEEN = NEW_YEAR_2025 + 60_020


def recorded_event(name: str) -> KlineEvent:
    return KLINE.decode(recorded("binance", name))


def an_event(**changes: Any) -> KlineEvent:  # noqa: ANN401 - any field of the wire
    return msgspec.convert(kline_event(**changes), KlineEvent, strict=False)


def test_the_documented_candle_is_converted_to_the_last_digit() -> None:
    candle = normalize(recorded_event("kline_closed"), seen_ts=SEEN)

    assert candle == Record(
        source="Binance",
        symbol="BTCUSDT",
        timeframe="1m",
        open_ts=1735689600000,
        end_ts=1735689659999,
        open=93576.0,
        high=93610.93,
        low=93537.5,
        close=93610.93,
        volume=8.21827,
        quote_volume=768978.6441022,
        vwap=768978.6441022 / 8.21827,  # 93,569.4..., inside low and high
        n_trades=639,
        is_closed=True,
        provenance="websocket",
        revision=0,
        is_complete=True,
        seen_ts=SEEN,
        seq=0,
    )


def test_a_running_candle_is_not_closed() -> None:
    assert normalize(recorded_event("kline_update"), seen_ts=SEEN).is_closed is False


def test_a_connection_in_microseconds_gives_the_same_candle() -> None:
    in_us = normalize(recorded_event("kline_closed_microsecond"), seen_ts=SEEN)

    assert in_us == normalize(recorded_event("kline_closed"), seen_ts=SEEN)


def test_a_candle_without_trades_is_flat_and_has_no_vwap() -> None:
    candle = normalize(recorded_event("kline_closed_no_trades"), seen_ts=SEEN)

    assert (candle.open, candle.high, candle.low, candle.close) == (1870.76,) * 4
    assert (candle.volume, candle.quote_volume, candle.n_trades) == (0.0, 0.0, 0)
    assert candle.vwap is None
    assert candle.is_closed is True


def test_vwap_is_quote_volume_over_volume() -> None:
    candle = normalize(an_event(h="200", v="10", q="1900"), seen_ts=SEEN)

    assert candle.vwap == 190


def test_the_end_is_the_calendar_s_even_when_the_exchange_cut_it() -> None:
    cut = an_event(T=NEW_YEAR_2025 + 14_788)

    assert normalize(cut, seen_ts=SEEN).end_ts == NEW_YEAR_2025 + 59_999


def test_a_month_ends_with_its_last_day() -> None:
    february_2024 = 1_706_745_600_000
    candle = normalize(an_event(open_ts=february_2024, timeframe="1M"), seen_ts=SEEN)

    assert candle.end_ts == february_2024 + 29 * 86_400_000 - 1


def test_an_open_off_the_grid_is_kept() -> None:
    candle = normalize(an_event(t=NEW_YEAR_2025 + 15_000), seen_ts=SEEN)

    assert (candle.open_ts, candle.end_ts) == (NEW_YEAR_2025 + 15_000, NEW_YEAR_2025 + 74_999)


def test_a_market_is_a_source_of_its_own() -> None:
    market = Market("Binance-USDM", "USD-M", "usd-m", {}, {"1m": "1m"})

    assert normalize(an_event(), seen_ts=SEEN, market=market).source == "Binance-USDM"


@pytest.mark.parametrize(
    "changes",
    [
        {"o": "nan"},
        {"h": "inf"},
        {"l": "-inf"},
        {"c": "nan"},
        {"v": "nan"},
        {"v": "inf"},
        {"q": "nan"},
        {"q": "inf"},
        {"v": "-1"},
        {"q": "-0.5"},
        {"n": -1},
        {"h": "99.99"},
        {"l": "100.01"},
        {"o": "100.01"},
        {"c": "99.99"},
        {"v": "5e-324", "q": "1e10"},
    ],
    ids=lambda changes: ",".join(f"{name}={value}" for name, value in changes.items()),
)
def test_values_that_no_candle_can_have_are_malformed(changes: dict[str, object]) -> None:
    with pytest.raises(MalformedMessage, match=f"BTCUSDT open_ts={NEW_YEAR_2025} cannot be"):
        normalize(an_event(**changes), seen_ts=SEEN)


@pytest.mark.parametrize("t", [-1, 0, 10**10, 1_230_767_999_999, SEEN + 2 * 86_400_000, 10**30])
def test_an_open_outside_of_the_age_of_bitcoin_is_malformed(t: int) -> None:
    with pytest.raises(MalformedMessage, match="not an instant"):
        normalize(an_event(t=t), seen_ts=SEEN)


@pytest.mark.parametrize("timeframe", ["15d", "1", "", "1mo"])
def test_a_timeframe_the_market_does_not_serve_is_malformed(timeframe: str) -> None:
    with pytest.raises(MalformedMessage, match="no timeframe"):
        normalize(an_event(i=timeframe), seen_ts=SEEN)


amounts = st.floats(min_value=0, max_value=1e12, allow_subnormal=False)
prices = st.floats(min_value=1e-8, max_value=1e7)


@given(prices=st.lists(prices, min_size=4, max_size=4), v=amounts, q=amounts)
def test_whatever_passes_is_a_valid_kline(prices: list[float], v: float, q: float) -> None:
    low, first, last, high = sorted(prices)
    if v > 0 and q / v == inf:
        return

    candle = normalize(an_event(l=low, o=first, c=last, h=high, v=v, q=q), seen_ts=SEEN)

    assert Kline.model_validate(candle.to_kline().model_dump()) == candle.to_kline()
