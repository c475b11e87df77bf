"""The processes behind the UI: started under a guard, their output kept for when one dies."""

import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_LINES_SHOWN: Final = 25
_STOP_PATIENCE_S: Final = 40.0


class DemoError(Exception):
    """Something the user has to know; the message says what to do."""


class Child:
    """One guarded command; `with` ends it, and so does the death of this process.

    Args:
        name: What it is called in messages.
        command: Arguments after the interpreter.
        cwd: Folder it starts in.
        environment: All of its variables.
        log: File for its output.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        cwd: Path,
        environment: Mapping[str, str],
        log: Path,
    ) -> None:
        self.name = name
        self.log = log
        guard = [sys.executable, "-m", "streamforge_dagster.demo.guard"]
        with log.open("wb") as output:
            self._guard = subprocess.Popen(  # noqa: S603 - our own command
                [*guard, sys.executable, *command],
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C must not reach the guard
            )

    def output(self) -> str:
        """Return everything it has written so far."""
        return self.log.read_text(errors="replace")

    def exit_code(self) -> int | None:
        """Return how it ended, None while it runs."""
        return self._guard.poll()

    def check(self) -> None:
        """Raise if it has ended by itself.

        Raises:
            DemoError: It has; the message ends with its last lines.
        """
        code = self.exit_code()
        if code is not None:
            lines = "\n".join(self.output().splitlines()[-_LINES_SHOWN:])
            raise DemoError(f"{self.name} ended with code {code}. Its last lines:\n\n{lines}")

    def wait(self) -> None:
        """Wait for its end.

        Raises:
            DemoError: It failed; the message ends with its last lines.
        """
        if self._guard.wait() != 0:
            self.check()

    def let_go(self) -> None:
        """Tell the guard to end it, without waiting."""
        if self._guard.stdin and not self._guard.stdin.closed:
            self._guard.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.let_go()
        self._guard.wait(_STOP_PATIENCE_S)


def check_port(port: int, word: str) -> None:
    """Make sure that nobody listens on a loopback port.

    Args:
        port: The port.
        word: What the user typed after `make`, for the message.

    Raises:
        DemoError: It is taken.
    """
    with socket.socket() as probe:
        # As a server binds: a port that was closed a moment ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise DemoError(
                f"Port {port} on 127.0.0.1 cannot be used ({error.strerror}). Stop what uses it, "
                f"or take another one: make {word} PORT={port + 1}"
            ) from None
