"""`make demo` comes and goes without a trace, however it is ended."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.dagster_demo import RunningDemo

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("number", "group"),
    [(signal.SIGINT, True), (signal.SIGTERM, False), (signal.SIGKILL, False)],
    ids=["Ctrl-C", "terminated", "killed"],
)
def test_no_process_is_left_behind(tmp_path: Path, number: signal.Signals, group: bool) -> None:  # noqa: FBT001 - pytest passes by name
    with RunningDemo(tmp_path) as demo:
        demo.wait_for_line("First backfill:")
        commands = " ".join(demo.processes().values())
        assert all(part in commands for part in ("simulate", "dagster dev", "_daemon", "webserver"))

        demo.signal(number, group=group)
        demo.wait_until_gone()

    assert ("Everything has stopped." in demo.output) == (number != signal.SIGKILL)


def test_ctrl_c_reaches_one_that_was_started_in_the_background(tmp_path: Path) -> None:
    with RunningDemo(tmp_path, ignoring_ctrl_c=True) as demo:
        demo.wait_for_line("Starting Dagster")

        demo.signal(signal.SIGINT)

        assert demo.wait_until_gone() < 10


def test_it_ends_with_the_make_that_started_it(tmp_path: Path) -> None:
    with RunningDemo(tmp_path, "--stop-with-parent", under_a_parent=True) as demo:
        demo.wait_for_line("Starting Dagster")

        demo.signal(signal.SIGKILL)

        demo.wait_until_gone()


def test_a_taken_port_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        ended = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "streamforge_dagster.demo", "--port", str(port)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    assert ended.returncode == 1
    assert f"Port {port} on 127.0.0.1 cannot be used" in ended.stderr
    assert f"make demo PORT={port + 1}" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_second_demo_on_the_same_files_is_refused(tmp_path: Path) -> None:
    with RunningDemo(tmp_path) as first:
        first.wait_for_line("Starting")

        with RunningDemo(tmp_path) as second:
            second.process.wait(60)

    assert second.process.returncode == 1
    assert "It runs already" in second.output
