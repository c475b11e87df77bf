"""Runs one command and stops all of it as soon as whoever started it is gone.

A process that is killed cannot tidy up behind itself; its end of a pipe closes all the same. So
each command has a guard, a process of its own that waits for that:
`python -m streamforge_dagster.demo.guard command ...`.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

Patience = Sequence[tuple[signal.Signals, float]]
"""What is sent to the group, one after the other, and how many seconds it is waited for."""

PATIENCE: Final[Patience] = (
    (signal.SIGINT, 10.0),
    (signal.SIGTERM, 5.0),
    (signal.SIGKILL, 5.0),
)

_POLL_S: Final = 0.1
_PR_SET_CHILD_SUBREAPER: Final = 36


def main(command: list[str], patience: Patience = PATIENCE) -> int:
    """Run a command until it ends or standard input closes; return its exit code."""
    _adopt_orphans()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 - our own command
    while child.poll() is None and not _input_is_closed():
        pass
    _stop_group(child, patience)
    return child.returncode or 0


def _adopt_orphans() -> None:
    """Become the parent of grandchildren whose parent dies, so that they can be waited for."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _input_is_closed() -> bool:
    readable, _, _ = select.select([sys.stdin], [], [], _POLL_S)
    return bool(readable) and not os.read(sys.stdin.fileno(), 1)


def _stop_group(child: "subprocess.Popen[bytes]", patience: Patience) -> None:
    """Ask every process of the group to end, ever less politely, until none is left."""
    for number, seconds in patience:
        end = time.monotonic() + seconds
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        while time.monotonic() < end:
            child.poll()
            _bury_orphans(child.pid)
            if _is_empty(child.pid):
                return
            time.sleep(_POLL_S)


def _bury_orphans(but: int) -> None:
    """Take note of ended orphans: until then they count as members of their group."""
    with suppress(ChildProcessError):
        while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if found.si_pid == but:  # that one is `Popen`'s to wait for
                return
            os.waitpid(found.si_pid, 0)


def _is_empty(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
