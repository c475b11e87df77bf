"""How far work has come: to the caller, onto a terminal, or nowhere."""

import io
import sys

import pytest

from streamforge_core.runners.progress import Progress, progress_on_terminal


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_callers_function_is_told_everything_and_nothing_is_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal, told = Terminal(), list[Progress]()
    monkeypatch.setattr(sys, "stderr", terminal)

    with progress_on_terminal(told.append, "BTCUSDT") as tell:
        tell(Progress(1, 2))
        tell(Progress(2, 2))

    assert told == [Progress(1, 2), Progress(2, 2)]
    assert terminal.getvalue() == ""


def test_a_terminal_gets_a_bar_with_the_title_and_the_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")

    with progress_on_terminal(None, "Binance BTCUSDT 1m") as tell:
        tell(Progress(1_440, 4_320))

    drawn = terminal.getvalue()
    assert "Binance BTCUSDT 1m" in drawn
    assert "1440/4320" in drawn


def test_a_file_or_a_pipe_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)

    with progress_on_terminal(None, "BTCUSDT") as tell:
        tell(Progress(1, 2))

    assert pipe.getvalue() == ""
