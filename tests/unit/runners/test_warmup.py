from collections.abc import Iterator

import pytest

from streamforge_core.errors import StreamForgeError, UnknownSymbol
from streamforge_core.exchanges.binance.constants import SPOT
from streamforge_core.model.kline import Series
from streamforge_core.runners.warmup import Wanted, WarmHistory
from streamforge_core.simulator.binance import SimulatedBinance
from tests.support.simulated import NEVER_DOWN, at, simulated_binance

BITCOIN = Series("Binance", "BTCUSDT", "1m")
MINUTE = 60_000


@pytest.fixture(scope="module")
def exchange() -> Iterator[SimulatedBinance]:
    with simulated_binance("2024-01-03T10:07:20", outages=NEVER_DOWN) as running:
        yield running


@pytest.fixture
def history(exchange: SimulatedBinance) -> Iterator[WarmHistory]:
    opened = WarmHistory(
        "BinanceBackfilling", SPOT, endpoints={"REST": exchange.url}, clock=exchange.clock
    )
    yield opened
    opened.close()


def test_today_is_loaded_up_to_the_last_closed_candle(history: WarmHistory) -> None:
    warmed = history.load(Wanted(BITCOIN, ()))

    opens = [record.open_ts for record in warmed.records]
    assert opens == list(range(at("2024-01-03"), at("2024-01-03T10:07"), MINUTE))
    assert warmed.is_whole
    assert {(r.provenance, r.is_closed, r.source) for r in warmed.records} == {
        ("rest", True, "Binance")
    }


def test_the_candle_before_the_first_live_one_is_the_last(history: WarmHistory) -> None:
    warmed = history.load(Wanted(BITCOIN, (), first_live_ms=at("2024-01-03T10:05")))

    assert warmed.records[-1].open_ts == at("2024-01-03T10:04")
    assert warmed.is_whole


def test_a_candle_that_rest_does_not_have_yet_is_noticed(history: WarmHistory) -> None:
    warmed = history.load(Wanted(BITCOIN, (), first_live_ms=at("2024-01-03T10:08")))

    assert warmed.records[-1].open_ts == at("2024-01-03T10:06")
    assert not warmed.is_whole


def test_the_largest_running_bucket_is_loaded_from_its_open(history: WarmHistory) -> None:
    hourly = Series("Binance", "BTCUSDT", "1h")

    warmed = history.load(Wanted(hourly, ("4h", "1w"), first_live_ms=at("2024-01-03T10:00")))

    # 2024-01-01 was a Monday.
    assert warmed.records[0].open_ts == at("2024-01-01")
    assert len(warmed.records) == 2 * 24 + 10


def test_what_is_there_already_is_not_loaded_again(history: WarmHistory) -> None:
    wanted = Wanted(
        BITCOIN,
        (),
        after_ms=at("2024-01-03T10:02"),
        first_live_ms=at("2024-01-03T10:05"),
    )

    opens = [record.open_ts for record in history.load(wanted).records]

    assert opens == [at("2024-01-03T10:03"), at("2024-01-03T10:04")]


def test_right_at_the_boundary_there_is_nothing_to_load(history: WarmHistory) -> None:
    warmed = history.load(Wanted(BITCOIN, ("5m",), first_live_ms=at("2024-01-03")))

    assert (warmed.records, warmed.is_whole) == ([], True)


def test_a_symbol_the_exchange_does_not_list_is_unknown(history: WarmHistory) -> None:
    with pytest.raises(UnknownSymbol, match="NOSUCHUSDT"):
        history.load(Wanted(Series("Binance", "NOSUCHUSDT", "1m"), ()))


def test_a_closed_history_loads_nothing_more(history: WarmHistory) -> None:
    history.close()

    try:
        warmed = history.load(Wanted(BITCOIN, (), first_live_ms=at("2024-01-03T10:05")))
    except StreamForgeError:
        return
    assert warmed.records == []
