import asyncio
import threading
import time

import pytest

from streamforge_core.transport.clock import AcceleratedClock, SystemClock, clock_from


def started_now(speed: float, simulated_ms: int = 0) -> AcceleratedClock:
    return AcceleratedClock(speed, real_ms=SystemClock().now_ms(), simulated_ms=simulated_ms)


def test_the_machine_s_clock_tells_utc_milliseconds() -> None:
    before = time.time_ns() // 1_000_000
    told = SystemClock().now_ms()

    assert before <= told <= time.time_ns() // 1_000_000


def test_an_accelerated_clock_starts_where_it_is_told_to() -> None:
    clock = started_now(speed=1.0, simulated_ms=1_735_689_600_000)

    assert 0 <= clock.now_ms() - 1_735_689_600_000 < 5_000


def test_an_accelerated_clock_runs_faster_than_the_machine_s() -> None:
    hour_ago = SystemClock().now_ms() - 3_600_000
    clock = AcceleratedClock(60.0, real_ms=hour_ago, simulated_ms=0)

    assert 0 <= clock.now_ms() - 60 * 3_600_000 < 60 * 5_000


async def test_a_minute_s_sleep_is_short_on_a_fast_clock() -> None:
    clock = started_now(speed=60_000.0)
    started = asyncio.get_running_loop().time()

    await clock.sleep(60)

    assert 0.0005 < asyncio.get_running_loop().time() - started < 2.0


async def test_the_machine_s_clock_sleeps_without_blocking_the_loop() -> None:
    ticks: list[int] = []

    await asyncio.gather(SystemClock().sleep(0.01), asyncio.to_thread(ticks.append, 1))

    assert ticks == [1]


def test_a_wait_ends_at_once_when_it_is_told_to_stop() -> None:
    stop = threading.Event()
    stop.set()

    assert SystemClock().wait(3_600, stop) is True
    assert started_now(speed=2.0).wait(3_600, stop) is True


def test_a_wait_that_runs_out_says_so() -> None:
    assert SystemClock().wait(0.001) is False
    assert SystemClock().wait(-1.0, threading.Event()) is False
    assert started_now(speed=60_000.0).wait(60) is False


def test_the_text_of_a_clock_gives_the_same_clock() -> None:
    text = str(AcceleratedClock(60.0, real_ms=1_700_000_000_000, simulated_ms=1_735_689_600_000))

    clock = clock_from(text)

    assert text == "60@1700000000000/1735689600000"
    assert isinstance(clock, AcceleratedClock)
    assert (clock.speed, clock.real_ms, clock.simulated_ms) == (
        60.0,
        1_700_000_000_000,
        1_735_689_600_000,
    )


@pytest.mark.parametrize("text", [None, ""])
def test_no_text_is_the_machine_s_clock(text: str | None) -> None:
    assert isinstance(clock_from(text), SystemClock)


@pytest.mark.parametrize("text", ["60", "60@1", "fast@1/2", "60@a/b", "60@1/"])
def test_another_text_is_refused_with_the_right_form(text: str) -> None:
    with pytest.raises(ValueError, match="speed@real_ms/simulated_ms"):
        clock_from(text)
