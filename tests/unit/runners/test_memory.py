"""What was freed goes back to the system; where that cannot be asked for, nothing happens."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamforge_core.runners import memory

MIB = 2**20


@pytest.fixture(autouse=True)
def looked_up_anew() -> Iterator[None]:
    memory._trim.cache_clear()  # noqa: SLF001 - which C library this is, is asked once a process
    yield
    memory._trim.cache_clear()  # noqa: SLF001 - likewise


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_freed_memory_leaves_the_process() -> None:
    pieces = [bytes(1_000) for _ in range(100_000)]
    top = bytes(1_000)  # keeps the end of the heap in use: free() alone could not shrink it
    full = resident_mib()
    del pieces

    memory.release_memory()

    assert resident_mib() < full - 50
    assert len(top) == 1_000


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_a_system_without_glibc_is_left_alone(
    platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)

    memory.release_memory()


def test_a_c_library_that_cannot_trim_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())

    memory.release_memory()


def resident_mib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4_096 // MIB
