import pytest

from streamforge_core.pipeline.exact_sums import decimals_of, scaled


@pytest.mark.parametrize(
    ("value", "decimals"),
    [
        (0.0, 0),
        (5.0, 0),
        (8023.1, 1),
        (0.25, 2),
        (2554807.3980141, 7),
        (0.00001379, 8),
        (123456789012345.0, 0),
        (2.0**60, 0),
    ],
)
def test_decimals_are_those_printed_with_trailing_zeros_stripped(
    value: float, decimals: int
) -> None:
    assert decimals_of(value) == decimals


def test_noise_behind_the_eighth_decimal_counts_as_eight_decimals() -> None:
    assert decimals_of(5884.8916002205) == 8


def test_decimals_are_counted_from_what_is_known_already() -> None:
    assert decimals_of(8023.1, at_least=3) == 3
    assert decimals_of(8023.1, at_least=8) == 8


def test_a_value_becomes_the_integer_that_was_printed() -> None:
    assert scaled(8023.1, 1) == 80231
    assert scaled(1.001, 8) == 100_100_000
    assert scaled(5884.8916002205, 8) == 588_489_160_022


def test_beyond_what_a_product_can_hold_the_printed_digits_are_taken() -> None:
    assert round(82304004.7001039 * 1e8) == 8_230_400_470_010_389
    assert scaled(82304004.7001039, 8) == 8_230_400_470_010_390
    assert scaled(123456789012345.67, 2) == 12_345_678_901_234_567


def test_the_integers_of_printed_numbers_add_up_as_on_paper() -> None:
    parts = [8023.1, 157.7, 499.8, 0.0, 2059.3]

    assert sum(scaled(part, 1) for part in parts) / 10 == 10739.9
