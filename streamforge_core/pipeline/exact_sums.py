"""Sums that are exact at the printed precision: decimals counted, values scaled to integers.

Floats do not add up as printed numbers do: neither `+=` nor `math.fsum` gives 10739.9 for
8023.1 + 157.7 + 499.8 + 2059.3. Integers do, and Python divides integers with correct rounding.
"""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

MAX_DECIMALS: Final = 8
"""Digits behind the point that any exchange prints; what lies beyond is the noise of floats."""

POWERS: Final = tuple(float(10**decimals) for decimals in range(MAX_DECIMALS + 1))

LARGEST_EXACT: Final = float(2**50)
"""Below it a product `value * 10**d` rounds to the integer that is meant; above it may not."""


def decimals_of(value: float, at_least: int = 0) -> int:
    """Return the decimals a number is printed with, trailing zeros stripped, 8 at most.

    The smallest d for which the multiple of 10**-d nearest to the number *is* the number.

    Args:
        value: Finite.
        at_least: Smallest answer of interest.
    """
    for decimals in range(at_least, MAX_DECIMALS):
        if round(value * POWERS[decimals]) / POWERS[decimals] == value:
            return decimals
    return MAX_DECIMALS


def scaled(value: float, decimals: int) -> int:
    """Return `value * 10**decimals` as the integer that the printed number stands for."""
    product = value * POWERS[decimals]
    if product < LARGEST_EXACT:
        return round(product)
    exact = Decimal(repr(value)).scaleb(decimals)
    return int(exact.to_integral_value(rounding=ROUND_HALF_EVEN))
