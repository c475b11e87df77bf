import pytest

from streamforge_core.errors import ConfigError, UnknownTimeframe
from streamforge_core.model.kline import Series
from streamforge_core.pipeline.cascade import (
    OneBase,
    Step,
    as_list,
    cascade,
    check_absent,
    holes_by_series,
)
from tests.support.builders import SERIES, a_hole


def test_each_target_is_folded_from_the_largest_that_fills_it() -> None:
    steps = cascade("1m", ["1h", "5m", "1d", "15m"])

    assert steps == [
        Step("5m", "1m"),
        Step("15m", "5m"),
        Step("1h", "15m"),
        Step("1d", "1h"),
    ]


def test_targets_that_do_not_divide_each_other_make_a_tree() -> None:
    assert cascade("1m", ["5m", "3m", "15m"]) == [
        Step("3m", "1m"),
        Step("5m", "1m"),
        Step("15m", "5m"),
    ]


def test_a_month_is_folded_from_days_and_never_from_weeks() -> None:
    assert cascade("1h", ["1M", "1w", "1d"]) == [
        Step("1d", "1h"),
        Step("1w", "1d"),
        Step("1M", "1d"),
    ]


def test_a_target_named_twice_is_folded_once() -> None:
    assert cascade("1m", ["5m", "5m"]) == [Step("5m", "1m")]


@pytest.mark.parametrize("target", ["1m", "3m", "3d", "15d"])
def test_a_target_that_the_base_does_not_fill_is_refused(target: str) -> None:
    with pytest.raises(ConfigError, match=f"{target} candles cannot be aggregated from 5m"):
        cascade("5m", [target])


def test_an_unknown_label_is_refused() -> None:
    with pytest.raises(UnknownTimeframe, match="7m"):
        cascade("1m", ["7m"])


def test_one_label_is_a_list_of_one_and_repeats_are_dropped() -> None:
    assert as_list("5m") == ["5m"]
    assert as_list(["1h", "5m", "1h"]) == ["1h", "5m"]


def test_what_absence_means_is_one_of_two_words() -> None:
    check_absent("unknown")
    check_absent("no_trades")
    with pytest.raises(ConfigError, match=r'"unknown" .* or "no_trades"'):
        check_absent("ignore")


def test_bare_holes_are_those_of_every_series_however_often_asked() -> None:
    hole = a_hole(1, 2)
    holes_of = holes_by_series(iter([hole]))

    assert list(holes_of(SERIES)) == [hole]
    assert list(holes_of(Series("Kraken", "BTC/USD", "1m"))) == [hole]


def test_a_mapping_gives_each_series_its_own_holes() -> None:
    hole = a_hole(1, 2)
    holes_of = holes_by_series({SERIES: [hole]})

    assert list(holes_of(SERIES)) == [hole]
    assert list(holes_of(Series("Kraken", "BTC/USD", "1m"))) == []


def test_a_single_hole_given_as_a_mapping_is_refused_rather_than_ignored() -> None:
    with pytest.raises(ConfigError, match="keys must be Series"):
        holes_by_series({"first_open_ts": 0, "last_open_ts": 0})  # type: ignore[arg-type]  # the mistake under test


def test_a_symbol_in_two_bases_is_refused() -> None:
    bases = OneBase()
    bases.check(SERIES)
    bases.check(SERIES)
    bases.check(Series("Kraken", "BTCUSDT", "5m"))

    with pytest.raises(ConfigError, match="BTCUSDT comes in 1m and in 5m"):
        bases.check(Series("Binance", "BTCUSDT", "5m"))
