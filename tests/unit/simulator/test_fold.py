import numpy as np

from streamforge_core.simulator.fold import Candles, Trades, as_candles, fold


def trades(*rows: tuple[int, int, int, int]) -> Trades:
    """Trades of (time, price, quantity, taker); ids from 50, quote is price times quantity."""
    time, price, quantity, taker = np.array(rows, np.int64).reshape(-1, 4).T
    return Trades(time, np.arange(50, 50 + len(time)), price, quantity, price * quantity, taker)


def folded(
    parts: Candles, *opens: int, length: int = 10, previous: int = 7
) -> list[tuple[int, ...]]:
    starts = np.array(opens, np.int64)
    return fold(parts, starts, starts + length, starts + length - 1, previous).rows()


def test_a_candle_is_made_of_the_trades_inside_it() -> None:
    parts = as_candles(trades((0, 5, 2, 1), (4, 9, 1, 0), (9, 3, 10, 1), (10, 8, 1, 0)))

    first, second = folded(parts, 0, 10)

    # open, close; OHLC; volume 2+1+10; quote 10+9+30; 3 trades; taker 12 and 40; ids
    assert first == (0, 9, 5, 9, 3, 3, 13, 49, 3, 12, 40, 50, 52)
    assert second == (10, 19, 8, 8, 8, 8, 1, 8, 1, 0, 0, 53, 53)


def test_a_candle_without_trades_is_flat_at_the_price_before() -> None:
    parts = as_candles(trades((10, 5, 2, 1), (12, 6, 1, 0)))

    flat_first, _, flat_last = folded(parts, 0, 10, 20)

    assert flat_first == (0, 9, 7, 7, 7, 7, 0, 0, 0, 0, 0, -1, -1)
    assert flat_last == (20, 29, 6, 6, 6, 6, 0, 0, 0, 0, 0, -1, -1)


def test_without_any_trade_all_candles_are_flat() -> None:
    assert [row[2:6] for row in folded(as_candles(trades()), 0, 10)] == [(7, 7, 7, 7)] * 2


def test_folding_in_two_steps_equals_folding_in_one() -> None:
    parts = as_candles(trades((1, 5, 2, 1), (7, 9, 1, 0), (12, 3, 4, 1), (13, 4, 1, 1)))

    small = Candles.of_rows(folded(parts, 0, 5, 10, 15, length=5))
    traded = Candles.of_rows([row for row in small.rows() if row[8]])

    assert folded(traded, 0, length=20) == folded(parts, 0, length=20)


def test_trades_are_chosen_by_time_with_the_end_left_out() -> None:
    chosen = trades((1, 5, 2, 1), (7, 9, 1, 0), (12, 3, 4, 1)).between(1, 12)

    assert chosen.time_ms.tolist() == [1, 7]
    assert chosen.id.tolist() == [50, 51]


def test_no_rows_are_no_candles() -> None:
    assert len(Candles.of_rows([])) == len(Candles.empty()) == 0
    assert Candles.empty().rows() == []
