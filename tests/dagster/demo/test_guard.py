"""The guard in this process: its standard input is a pipe that a test closes."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamforge_dagster.demo import guard
from tests.support.dagster_demo import wait_for

PATIENCE = [(signal.SIGINT, 2.0), (signal.SIGKILL, 5.0)]

# Two generations; the younger one outlives its parent unless somebody ends the whole group.
FAMILY = "sh -c 'echo $$ > grandchild; exec sleep 300' & echo $$ > child; exec sleep 300"
STUBBORN = "trap '' INT; echo $$ > child; while :; do sleep 0.1; done"


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[int]:
    """The writing end of this process' standard input."""
    monkeypatch.chdir(tmp_path)
    reader, writer = os.pipe()
    with os.fdopen(reader) as standard_input:
        monkeypatch.setattr(sys, "stdin", standard_input)
        yield writer
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)  # the tests adopt no orphans


def is_alive(name: str) -> bool:
    try:
        os.kill(int(Path(name).read_text()), 0)
    except ProcessLookupError:
        return False
    return True


def close_when(writer: int, *names: str) -> threading.Thread:
    """Close the pipe as soon as all these processes have written their ids."""

    def watch() -> None:
        wait_for("the start", lambda: all(_has_written(name) for name in names), 30)
        os.close(writer)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def _has_written(name: str) -> bool:
    return Path(name).exists() and Path(name).read_text().endswith("\n")


def test_a_command_that_ends_gives_its_exit_code(pipe: int) -> None:
    assert guard.main(["sh", "-c", "exit 7"], PATIENCE) == 7
    os.close(pipe)


def test_the_whole_family_ends_with_whoever_started_it(pipe: int) -> None:
    watcher = close_when(pipe, "child", "grandchild")

    guard.main(["sh", "-c", FAMILY], PATIENCE)

    watcher.join()
    assert not is_alive("child")
    assert not is_alive("grandchild")


def test_who_does_not_listen_is_killed(pipe: int) -> None:
    watcher = close_when(pipe, "child")

    assert guard.main(["sh", "-c", STUBBORN], PATIENCE) == -signal.SIGKILL

    watcher.join()
    assert not is_alive("child")
