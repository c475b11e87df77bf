import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from streamforge_core.emitters.logger import Logger
from streamforge_core.errors import RecordError
from tests.support.builders import a_minute, a_table


@contextmanager
def bare_logging() -> Iterator[None]:
    """Take away pytest's own handlers: logging as in a fresh program."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(logging.getLogger(), "handlers", [])
        yield


def test_a_candle_is_one_line_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    with bare_logging(), Logger(prefix="spot: ") as emitter:
        emitter.emit(a_minute(5, open=99.5, close=100.0, volume=0.25))

    assert capsys.readouterr().out == (
        "spot: Binance BTCUSDT 1m 2024-01-15T00:05:00Z O 99.5 H 100.0 L 99.5 C 100.0 V 0.25\n"
    )


def test_an_open_candle_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with bare_logging(), Logger() as emitter:
        emitter.emit_batch(a_table([a_minute(0, is_closed=False), a_minute(1)]))

    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("V 1.0 (open)")
    assert second.endswith("V 1.0")


def test_two_of_them_print_each_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    with bare_logging(), Logger("a ") as first, Logger("b ") as second:
        first.connect()
        first.emit(a_minute(0))
        second.emit(a_minute(1))

    assert [line[:2] for line in capsys.readouterr().out.splitlines()] == ["a ", "b "]


def test_after_close_it_holds_no_handler(capsys: pytest.CaptureFixture[str]) -> None:
    emitter = Logger()
    with bare_logging():
        emitter.connect()
    emitter.close()
    emitter.close()

    assert not logging.getLogger(f"streamforge.candles.{emitter.name}").handlers
    assert capsys.readouterr().out == ""


def test_where_logging_is_set_up_the_lines_go_there(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with Logger("live ") as emitter:
        emitter.emit(a_minute(0))

    assert caplog.messages[0].startswith("live Binance BTCUSDT 1m 2024-01-15 O 100.0")
    assert capsys.readouterr().out == ""


def test_a_transformers_keys_and_values_are_printed(caplog: pytest.LogCaptureFixture) -> None:
    def close_only(row: dict[str, object]) -> dict[str, object] | None:
        return {"price": row["close"]} if row["close"] != 1.0 else None

    with Logger("> ").set_transformer(close_only) as emitter:
        emitter.emit_batch(a_table([a_minute(0, close=1.0), a_minute(1, close=2.0)]))

    assert caplog.messages == ["> price=2.0"]


def test_a_failing_transformer_is_a_record_error() -> None:
    with (
        Logger().set_transformer(lambda row: {"x": row["nothing"]}) as emitter,
        pytest.raises(RecordError, match="nothing"),
    ):
        emitter.emit(a_minute(0))


def test_a_level_the_program_chose_is_kept() -> None:
    emitter = Logger(name="quiet")
    logging.getLogger("streamforge.candles.quiet").setLevel(logging.ERROR)

    with emitter:
        assert logging.getLogger("streamforge.candles.quiet").level == logging.ERROR


CLOSED_PIPE = """
import os, sys
from streamforge_core.emitters.logger import Logger
from tests.support.builders import a_minute

with Logger() as emitter:
    emitter.emit(a_minute(0))
    sys.stdin.readline()  # the reader is gone now
    for index in range(20_000):
        emitter.emit(a_minute(1))
print("went on", file=sys.stderr)
"""


def test_a_closed_pipe_ends_the_lines_and_not_the_stream() -> None:
    with subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-c", CLOSED_PIPE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        assert program.stdin is not None
        assert program.stderr is not None
        assert program.stdout.readline().startswith("Binance BTCUSDT")
        program.stdout.close()
        program.stdin.write("\n")
        program.stdin.close()
        told = program.stderr.read()

    assert told == "went on\n"
    assert program.returncode == 0


def test_a_closed_stdout_is_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull, "w") as closed:  # noqa: PTH123 - a stream, not a file of interest
        pass
    with bare_logging(), Logger() as emitter:
        monkeypatch.setattr(sys, "stdout", closed)
        emitter.emit(a_minute(0))
        monkeypatch.setattr(sys, "stdout", None)
        emitter.emit(a_minute(1))


def test_any_other_trouble_of_the_handler_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Odd:
        def write(self, _: str) -> None:
            raise TypeError("no text here")

        def flush(self) -> None: ...

    with bare_logging(), Logger() as emitter:
        monkeypatch.setattr(sys, "stdout", Odd())
        emitter.emit(a_minute(0))

    assert "no text here" in capsys.readouterr().err
