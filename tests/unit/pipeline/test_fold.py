import numpy as np
import pytest

from streamforge_core.errors import ConfigError
from streamforge_core.pipeline import fold as fold_module
from streamforge_core.pipeline.base_rows import BaseRows
from streamforge_core.pipeline.fold import Amounts, MoreDecimals, fold, spacing_of
from tests.support.builders import MINUTE, START, a_minute, a_quiet_minute, a_table

DAY_OF_MINUTES = 1_440


def base_of(minutes: list[int], **values: float) -> BaseRows:
    table = a_table([a_minute(index, close=float(index), **values) for index in minutes])
    return BaseRows(table, "1m", bucket_intervals=DAY_OF_MINUTES)


def amounts(*values: float) -> Amounts:
    return Amounts("volume", np.array(values), bucket_rows=DAY_OF_MINUTES)


def total(*values: float) -> float:
    column = amounts(*values)
    return float(column.quotients(np.array([column.block(0, len(values), len(values)).sum()]))[0])


def test_spacing_is_the_distance_of_all_neighbours_or_none() -> None:
    opens = np.array([0, 60_000, 120_000])

    assert spacing_of(opens) == 60_000
    assert spacing_of(np.array([0, 60_000, 180_000])) == 0
    assert spacing_of(np.array([0, 30_000, 120_000])) == 0
    assert spacing_of(opens[:1]) == 0


@pytest.mark.parametrize("gap", [None, 8])
@pytest.mark.parametrize("first", range(5))
def test_whole_and_partial_buckets_are_cut_at_the_calendar(first: int, gap: int | None) -> None:
    minutes = [minute for minute in range(first, 18) if minute != gap]

    rows = fold(base_of(minutes), "5m")

    assert rows.opens.tolist() == [START + offset * MINUTE for offset in (0, 5, 10, 15)]
    assert rows.open.tolist() == [float(first), 5.0, 10.0, 15.0]
    assert rows.close.tolist() == [4.0, 9.0, 14.0, 17.0]
    assert rows.filled is not None
    assert rows.filled.tolist() == [5 - first, 5 if gap is None else 4, 5, 3]


def test_rows_that_end_before_their_first_boundary_make_one_bucket() -> None:
    rows = fold(base_of([1, 2, 3]), "5m")

    assert (rows.open.tolist(), rows.close.tolist()) == ([1.0], [3.0])


@pytest.mark.parametrize("block_rows", [1, 7, 64, 10_000])
@pytest.mark.parametrize("gap", [None, 333])
def test_blocks_are_a_matter_of_speed_only(
    monkeypatch: pytest.MonkeyPatch, block_rows: int, gap: int | None
) -> None:
    monkeypatch.setattr(fold_module, "BLOCK_ROWS", block_rows)
    monkeypatch.setattr(fold_module, "_FEWEST_FOR_MATRIX", 1)
    base = base_of([minute for minute in range(3, 1_240) if minute != gap], volume=0.1)

    hours, quarters = fold(base, "1h"), fold(base, "15m")

    assert hours.close.tolist() == [*(60.0 * hour - 1 for hour in range(1, 21)), 1_239.0]
    assert hours.low.tolist() == [3.0, *(60.0 * hour for hour in range(1, 21))]
    assert hours.high.tolist() == hours.close.tolist()
    assert base.volume.quotients(hours.volume).tolist() == [
        5.7,
        *(5.9 if gap and hour == gap // 60 else 6.0 for hour in range(1, 20)),
        4.0,
    ]
    assert quarters.open.tolist() == [3.0, *(15.0 * quarter for quarter in range(1, 83))]


def test_a_fold_in_two_steps_equals_a_fold_in_one() -> None:
    base = BaseRows(
        a_table(
            [
                a_quiet_minute(minute, 7.0) if minute % 3 else a_minute(minute, close=float(minute))
                for minute in range(2, 130)
            ]
        ),
        "1m",
        bucket_intervals=60,
    )

    in_one, in_two = fold(base, "1h"), fold(fold(base, "5m"), "1h")

    for name in ("opens", "open", "high", "low", "close", "volume", "filled"):
        assert getattr(in_two, name).tolist() == getattr(in_one, name).tolist()
    assert in_one.open.tolist() == [3.0, 60.0, 120.0]


def test_a_quiet_block_beside_a_traded_one_keeps_its_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_module, "BLOCK_ROWS", 5)
    minutes = [a_minute(index) for index in range(5)]
    quiet = [a_quiet_minute(index, 3.0) for index in range(5, 10)]

    rows = fold(BaseRows(a_table(minutes + quiet), "1m", bucket_intervals=5), "5m")

    assert rows.untraded is not None
    assert rows.untraded.tolist() == [False, True]
    assert rows.high.tolist() == [100.0, 3.0]


def test_sums_are_exact_at_the_printed_precision() -> None:
    assert total(8023.1, 157.7, 499.8, 0.0, 2059.3) == 10739.9


def test_a_longer_number_behind_the_first_block_starts_the_sums_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fold_module, "BLOCK_ROWS", 2)
    column = amounts(0.5, 0.5, 0.5, 0.125)

    with pytest.raises(MoreDecimals):
        column.block(0, 4, 4)

    assert column.decimals == 3
    assert column.block(0, 4, 4).tolist() == [500, 500, 500, 125]


def test_sums_above_the_integers_of_a_float_are_rounded_once() -> None:
    # 2**53 + 1 and 2**53 + 3 in units of 1e-8: a float holds neither.
    assert total(45035996.27370496, 45035996.27370497) == 90071992.54740993
    assert total(82304004.7001039, 0.00000001) == 82304004.70010391


def test_sums_that_a_float_holds_exactly_are_added_as_floats() -> None:
    column = amounts(0.125, 0.5, 3.0)

    assert column.block(0, 3, 5).dtype == np.float64
    assert column.block(0, 3, 5).tolist() == [125, 500, 3_000]
    assert column.block(0, 3, 10**13).dtype == np.int64
    assert column.block(0, 3, 10**13).tolist() == [125, 500, 3_000]


def test_the_sums_of_a_fold_are_integers_whatever_they_were_added_as() -> None:
    assert fold(base_of(list(range(10)), volume=0.1), "5m").volume.dtype == np.int64


def test_sums_beyond_int64_are_added_as_python_integers() -> None:
    values = [99_999_999_999.12345678] * 3

    assert total(*values) == 299_999_999_997.37036


def test_a_few_large_numbers_in_a_long_column_still_fit_int64() -> None:
    column = Amounts("volume", np.array([9e9, 0.125, *([1.0] * 2_000)]), bucket_rows=10**9)

    assert column.block(0, 2, 10**9).dtype == np.int64
    assert column.block(0, 2, 10**9).tolist() == [9_000_000_000_000, 125]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -0.5])
def test_a_volume_that_cannot_be_is_refused(wrong: float) -> None:
    with pytest.raises(ConfigError, match="Column volume"):
        amounts(1.0, wrong).block(0, 2, 2)


def test_wide_buckets_are_reduced_row_by_row() -> None:
    rows = fold(base_of(list(range(2 * DAY_OF_MINUTES)), volume=0.1), "1d")

    assert rows.high.tolist() == [1_439.0, 2_879.0]
    assert rows.volume.tolist() == [1_440, 1_440]


def test_a_column_may_outgrow_int64_in_a_later_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_module, "BLOCK_ROWS", 5)
    volumes = [*([0.12345678] * 5), *([99_999_999_999.0] * 5), *([0.5] * 5)]
    minutes = [a_minute(index, volume=volume) for index, volume in enumerate(volumes)]
    base = BaseRows(a_table(minutes), "1m", bucket_intervals=5)

    rows = fold(base, "5m")

    assert rows.volume.tolist() == [61_728_390, 499_999_999_995 * 10**8, 250_000_000]
    assert base.volume.quotients(rows.volume).tolist() == [0.6172839, 499_999_999_995.0, 2.5]
