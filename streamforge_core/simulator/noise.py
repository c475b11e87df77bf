"""Randomness that is a pure function of its arguments: hashes of integers, and noise over time."""

import hashlib
from typing import Final

import numpy as np
import numpy.typing as npt

from streamforge_core.simulator.boundaries import DAY_MS, HOUR_MS, MINUTE_MS, Ints

Floats = npt.NDArray[np.float64]

_MASK: Final = (1 << 64) - 1
_STEP: Final = 0x9E3779B97F4A7C15

# Periods that share no divisor, so that no two lattices turn at the same instants. The shares sum
# to less than 1: a price never reaches zero.
_OCTAVES: Final = (
    (5 * MINUTE_MS, 0.0008),
    (23 * MINUTE_MS, 0.002),
    (127 * MINUTE_MS, 0.005),
    (9 * HOUR_MS + 7 * MINUTE_MS, 0.01),
    (55 * HOUR_MS, 0.03),
    (12 * DAY_MS + HOUR_MS, 0.08),
    (71 * DAY_MS, 0.2),
    (367 * DAY_MS, 0.33),
)


def key_of(*parts: object) -> int:
    """Return a 64-bit key for some values; equal values give equal keys on every machine."""
    text = "\x00".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def hashed(key: int, number: int) -> int:
    """Return 64 well-mixed bits for one integer: `splitmix64`."""
    state = (number * _STEP + key) & _MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
    return state ^ (state >> 31)


def hashed_all(key: int, numbers: Ints) -> npt.NDArray[np.uint64]:
    """Return `hashed` of every integer of an array."""
    state = numbers.astype(np.uint64) * np.uint64(_STEP) + np.uint64(key)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def uniform(key: int, numbers: Ints) -> Floats:
    """Return a number in [0, 1) for each integer."""
    return (hashed_all(key, numbers) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def drift(key: int, times: Ints) -> Floats:
    """Return how far a price is from its base at each instant, as a share between -0.66 and 0.66.

    Value noise in eight octaves. Only sums and products of floats: every machine rounds them alike,
    which is not so for `exp`.

    Args:
        key: Of the symbol.
        times: UTC epoch milliseconds, ascending.
    """
    total = np.zeros(len(times))
    if not len(times):
        return total
    for octave, (period, share) in enumerate(_OCTAVES):
        cell = times // period
        lattice = uniform(key + octave, np.arange(cell[0], cell[-1] + 2)) * 2.0 - 1.0
        position = cell - cell[0]
        within = (times - cell * period) * (1.0 / period)
        smooth = within * within * (3.0 - 2.0 * within)
        before = lattice[position]
        total += share * (before + (lattice[position + 1] - before) * smooth)
    return total
