import numpy as np

from streamforge_core.simulator.noise import drift, hashed, hashed_all, key_of, uniform


def test_a_hash_is_splitmix64() -> None:
    # The first two outputs of the published generator seeded with 0.
    assert hashed(0, 1) == 0xE220A8397B1DCDAF
    assert hashed(0, 2) == 0x6E789E6AA1B965F4


def test_an_array_is_hashed_as_its_numbers_are() -> None:
    numbers = np.array([-3, 0, 1, 2**40])

    assert hashed_all(17, numbers).tolist() == [hashed(17, int(number)) for number in numbers]


def test_a_key_depends_on_every_part() -> None:
    assert key_of("BTCUSDT", 1) == key_of("BTCUSDT", 1)
    assert len({key_of("BTCUSDT", 1), key_of("BTCUSDT", 2), key_of("BTCUSDT1"), key_of(1)}) == 4


def test_uniform_numbers_fill_the_unit_interval() -> None:
    numbers = uniform(5, np.arange(100_000))

    assert 0 <= numbers.min() < 0.001
    assert 0.999 < numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 0.01


def test_a_price_drifts_without_jumps_and_never_to_zero() -> None:
    times = np.arange(0, 3 * 366 * 86_400_000, 3_600_000)

    path = drift(key_of("any"), times)

    assert np.abs(path).max() < 0.66
    assert np.abs(np.diff(path)).max() < 0.05


def test_a_drift_does_not_depend_on_what_else_is_asked() -> None:
    times = np.arange(1_704_067_200_000, 1_704_153_600_000, 7_001)

    assert drift(9, times)[1_000:1_010].tolist() == drift(9, times[1_000:1_010]).tolist()


def test_no_instants_have_no_drift() -> None:
    assert drift(9, np.empty(0, np.int64)).tolist() == []
