import os
import socket
from pathlib import Path

import pytest

from streamforge_dagster.demo.processes import Child, DemoError, check_port
from tests.support.dagster_demo import free_port, wait_for


def child(folder: Path, code: str) -> Child:
    return Child(
        "the tool", ["-c", code], cwd=folder, environment=os.environ, log=folder / "tool.log"
    )


def test_output_is_kept_in_a_file(tmp_path: Path) -> None:
    with child(tmp_path, "print('ready')") as tool:
        tool.wait()

    assert tool.output() == "ready\n"
    assert tool.exit_code() == 0


def test_one_that_dies_early_shows_its_last_lines(tmp_path: Path) -> None:
    code = "import sys; [print('line', i) for i in range(99)]; sys.exit('no such table')"
    with child(tmp_path, code) as tool, pytest.raises(DemoError) as caught:
        tool.wait()

    message = str(caught.value)
    assert message.startswith("the tool ended with code 1. Its last lines:")
    assert message.endswith("no such table")
    assert "line 98" in message
    assert "line 70" not in message


def test_one_that_lives_is_left_alone_until_the_end_of_the_block(tmp_path: Path) -> None:
    with child(tmp_path, "import time; print('up', flush=True); time.sleep(300)") as tool:
        wait_for("its start", lambda: "up" in tool.output(), 30)
        tool.check()

    assert tool.exit_code() is not None


def test_a_free_port_passes() -> None:
    check_port(free_port(), "demo")


def test_a_taken_port_says_what_to_type() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(DemoError, match=f"make dev PORT={port + 1}"):
            check_port(port, "dev")
