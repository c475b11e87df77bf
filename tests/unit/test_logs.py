"""Where log lines go: nowhere of ours by default, then to the one object that the user names."""

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamforge_core.logs import Config, DefaultLogger, SilentLogger, config, show_logs

OURS = logging.getLogger("streamforge_core.runners.runner")
TOP = logging.getLogger("streamforge_core")
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}Z ([A-Z]+) (\w+): (.*)")


class Notebook:
    """Any object with the five methods."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def debug(self, message: str) -> None:
        self.lines.append(("debug", message))

    def info(self, message: str) -> None:
        self.lines.append(("info", message))

    def warning(self, message: str) -> None:
        self.lines.append(("warning", message))

    def error(self, message: str) -> None:
        self.lines.append(("error", message))

    def critical(self, message: str) -> None:
        self.lines.append(("critical", message))


@pytest.fixture(autouse=True)
def _untouched() -> Iterator[None]:
    yield
    config.reset()
    ours = [each for each in TOP.handlers if type(each).__module__ == "streamforge_core.logs"]
    assert (TOP.level, TOP.propagate, ours) == (logging.NOTSET, True, [])


def current() -> object:
    return config.logger


def written(text: str) -> list[tuple[str, ...]]:
    """Return level, name and message of each line written by a DefaultLogger."""
    return [match.groups() for line in text.splitlines() if (match := LINE.fullmatch(line))]


# --- Routing ---


def test_lines_go_to_the_object_that_was_set() -> None:
    notebook = Notebook()
    config.logger = notebook

    OURS.info("connected to %s", "Binance")
    TOP.warning("lost")

    assert config.logger is notebook
    assert notebook.lines == [("info", "connected to Binance"), ("warning", "lost")]


def test_every_level_has_its_method() -> None:
    notebook = Notebook()
    config.logger = notebook

    for level in (5, logging.DEBUG, logging.INFO, 25, logging.WARNING, logging.ERROR, 50, 60):
        OURS.log(level, "%d", level)

    assert notebook.lines == [
        ("debug", "10"),
        ("info", "20"),
        ("info", "25"),
        ("warning", "30"),
        ("error", "40"),
        ("critical", "50"),
        ("critical", "60"),
    ]


def test_a_traceback_goes_along() -> None:
    notebook = Notebook()
    config.logger = notebook

    try:
        [].pop()
    except IndexError:
        OURS.exception("failed")

    level, text = notebook.lines[0]
    assert level == "error"
    assert text.startswith("failed\nTraceback (most recent call last):")
    assert text.endswith("IndexError: pop from empty list")


def test_another_object_takes_over() -> None:
    first, second = Notebook(), Notebook()
    config.logger = first
    config.logger = second

    OURS.info("once")

    assert (first.lines, second.lines) == ([], [("info", "once")])


def test_lines_of_others_are_not_touched() -> None:
    notebook = Notebook()
    config.logger = notebook

    logging.getLogger("streamforge_core_of_another").critical("not ours")
    logging.getLogger("urllib3").critical("not ours")

    assert notebook.lines == []


def test_the_programs_own_handlers_do_not_print_them_twice(
    caplog: pytest.LogCaptureFixture,
) -> None:
    config.logger = logging.getLogger("my.program")

    with caplog.at_level(logging.INFO):
        OURS.info("connected")

    assert [(record.name, record.message) for record in caplog.records] == [
        ("my.program", "connected")
    ]


def test_a_logger_of_ours_is_never_handed_its_own_lines(caplog: pytest.LogCaptureFixture) -> None:
    config.logger = Notebook()
    config.logger = OURS

    with caplog.at_level(logging.INFO):
        OURS.info("connected")

    assert [record.message for record in caplog.records] == ["connected"]
    assert current() is TOP


@pytest.mark.parametrize("target", [None, print, object(), "INFO"])
def test_what_is_no_logger_is_refused(target: object) -> None:
    with pytest.raises(TypeError, match="needs the methods info, warning, error, debug, critical"):
        config.logger = target  # type: ignore[assignment]  # that is what is refused


def test_the_refusal_names_what_is_lacking_and_changes_nothing() -> None:
    notebook = Notebook()
    config.logger = notebook
    partial = type("Partial", (), dict.fromkeys(("info", "warning", "error"), print))()

    with pytest.raises(TypeError, match=r"Partial lacks debug, critical\."):
        config.logger = partial

    assert config.logger is notebook


def test_a_failing_object_never_fails_the_caller(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(message: str) -> None:
        raise OSError(f"no place for {message}")

    notebook = Notebook()
    monkeypatch.setattr(notebook, "info", fail)
    config.logger = notebook

    OURS.info("connected")

    assert "no place for connected" in capsys.readouterr().err


def test_reset_restores_what_was_there() -> None:
    TOP.setLevel(logging.ERROR)
    try:
        config.logger = Notebook()
        assert TOP.level == logging.DEBUG
        config.reset()
        assert TOP.level == logging.ERROR
    finally:
        TOP.setLevel(logging.NOTSET)
    assert current() is TOP


# --- Ready-made loggers ---


def test_console_only_writes_lines_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    config.set_console_only()

    OURS.info("connected")
    OURS.debug("a detail")

    captured = capsys.readouterr()
    assert written(captured.err) == [("INFO", "streamforge", "connected")]
    assert captured.out == ""


def test_silence_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    config.set_silent()

    OURS.critical("nobody hears this")
    for method in ("debug", "info", "warning", "error", "critical"):
        getattr(SilentLogger(), method)("nor this")

    assert capsys.readouterr() == ("", "")


def test_a_file_is_appended_to_and_its_folder_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "deep" / "streamforge.log"
    for line in ("first", "second €"):
        config.set_log_file(str(file))
        OURS.info(line)
    config.reset()

    assert written(file.read_text(encoding="utf-8")) == [
        ("INFO", "streamforge", "first"),
        ("INFO", "streamforge", "second €"),
    ]
    assert capsys.readouterr().err == ""


def test_a_file_and_the_console_may_have_both(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.set_log_file(tmp_path / "x.log", console=True)

    OURS.error("lost")

    assert written((tmp_path / "x.log").read_text()) == [("ERROR", "streamforge", "lost")]
    assert written(capsys.readouterr().err) == [("ERROR", "streamforge", "lost")]


def test_a_file_that_cannot_be_written_fails_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        config.set_log_file(tmp_path)

    assert current() is TOP


def test_a_default_logger_is_useful_by_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = DefaultLogger(str(tmp_path / "x.log"), console=False, name="mine", level="DEBUG")
    for method in ("debug", "info", "warning", "error", "critical"):
        getattr(logger, method)(f"100% {method}")
    logger.close()

    assert written((tmp_path / "x.log").read_text()) == [
        ("DEBUG", "mine", "100% debug"),
        ("INFO", "mine", "100% info"),
        ("WARNING", "mine", "100% warning"),
        ("ERROR", "mine", "100% error"),
        ("CRITICAL", "mine", "100% critical"),
    ]
    assert capsys.readouterr().err == ""


def test_two_default_loggers_of_one_name_share_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = DefaultLogger(), DefaultLogger(console=False)

    first.info("once")
    second.info("nowhere")

    assert written(capsys.readouterr().err) == [("INFO", "streamforge", "once")]


def test_show_logs_shows_from_a_level_on_and_never_twice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_logs()
    show_logs("DEBUG")
    OURS.debug("a detail")
    show_logs("ERROR")
    OURS.warning("not shown")

    assert written(capsys.readouterr().err) == [("DEBUG", "streamforge", "a detail")]


def test_a_level_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="LOUD"):
        show_logs("LOUD")

    assert current() is TOP


def test_there_is_one_configuration_of_the_process() -> None:
    assert isinstance(config, Config)


def test_importing_sets_no_handler() -> None:
    script = """
import logging
before = list(logging.getLogger().handlers)
import streamforge_core.logs, streamforge_core as sf
for name in sf.__all__:
    getattr(sf, name)
ours = [name for name in logging.root.manager.loggerDict if name.startswith("streamforge")]
assert ours, "nothing of ours logs"
assert logging.getLogger().handlers == before
assert not any(logging.getLogger(name).handlers for name in ours)
assert not any(logging.getLogger(name).level for name in ours)
"""
    subprocess.run([sys.executable, "-c", script], check=True)  # noqa: S603 - our own script
