"""How long to wait after the n-th failure in a row: arithmetic only."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

# 2 ** 30 periods are longer than any cap; beyond it the power would only grow the integer.
_MOST_DOUBLINGS: Final = 30


@dataclass(frozen=True, slots=True)
class Backoff:
    """Doubling delays with a cap, each shortened by up to a half at random.

    The jitter keeps many clients that lost the same server from coming back in step.

    Attributes:
        first_s: Longest delay after the first failure, in seconds.
        cap_s: Longest delay ever.
        draw: Returns a number in [0, 1), such as `random.random`.
    """

    first_s: float
    cap_s: float
    draw: Callable[[], float]

    def delay_s(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row, counted from 1."""
        doublings = min(max(failures - 1, 0), _MOST_DOUBLINGS)
        longest_s = min(self.cap_s, self.first_s * 2.0**doublings)
        return longest_s * (1 - self.draw() / 2)
