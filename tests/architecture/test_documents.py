"""Every snippet of the documents runs, against a simulated exchange."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import streamforge_core as sf
from streamforge_core.errors import ConfigError
from streamforge_core.simulator.binance import SimulatedBinance
from streamforge_core.transport.clock import AcceleratedClock, SystemClock
from tests.support.documents import Snippet, end_endless_streams, snippets
from tests.support.instants import utc
from tests.support.recording_emitter import RecordingEmitter

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
REQUIREMENTS = ROOT.parent / "shared" / "requirements" / "core-concepts.md"

# The exchange stands a few days behind the dates of the documents, and a minute lasts two seconds.
NOW, SPEED = utc("2024-01-20 10:00:20"), 30.0

# Names that the documents use and that come with later venues and destinations.
LATER = {"KrakenRunner", "OKXRunner", "PostgresEmitter", "KafkaEmitter"}


def _with(*languages: str) -> list[Path]:
    return [file for file in DOCUMENTS if any(snippets(file, *languages))]


@pytest.fixture
def exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedBinance]:
    """Run a simulated exchange that everything in this process uses, in an empty folder."""
    clock = AcceleratedClock(SPEED, real_ms=SystemClock().now_ms(), simulated_ms=NOW)
    with SimulatedBinance(clock=clock) as simulated:
        for name, value in simulated.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("STREAMFORGE_STORE", raising=False)
        monkeypatch.chdir(tmp_path)
        end_endless_streams(monkeypatch)
        yield simulated


@pytest.mark.parametrize("document", _with("python"), ids=lambda file: file.name)
@pytest.mark.usefixtures("exchange")
def test_the_snippets_of_a_document_run_one_after_the_other(document: Path) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}

    for snippet in snippets(document, "python"):
        snippet.run(names)


@pytest.mark.parametrize("document", _with("console", "bash"), ids=lambda file: file.name)
@pytest.mark.usefixtures("exchange")
def test_the_commands_of_a_document_run_one_after_the_other(document: Path) -> None:
    commands = [
        command
        for snippet in snippets(document, "console", "bash")
        for command in snippet.commands()
    ]

    for arguments in commands:
        process = subprocess.run(  # noqa: S603 - commands of our own documents
            [sys.executable, "-m", "streamforge_core", *arguments],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert process.returncode == 0, f"streamforge {' '.join(arguments)}:\n{process.stderr}"
        assert process.stdout.strip(), f"streamforge {' '.join(arguments)} printed nothing"


# --- The page of the requirements, where it lies beside the repository ---


def _required() -> list[Snippet]:
    return list(snippets(REQUIREMENTS, "python")) if REQUIREMENTS.exists() else []


def _what_the_page_assumes() -> dict[str, Any]:
    """Return the names that its snippets use without having made them."""
    stream = sf.DataInput(type="kline", symbols=["BTCUSDT"], timeframe="1m")
    names: dict[str, Any] = {
        name: RecordingEmitter(name=name)
        for name in ("emitter", "some_emitter", "postgres_emitter", "csv", "postgres", "kafka")
    }
    runner = sf.BinanceRunner(stream_input=stream)
    names |= {"sf": sf, "asyncio": asyncio, "stream": stream, "runner": runner}
    return names | {"__name__": "__main__"}


@pytest.mark.skipif(not _required(), reason="the requirements lie beside the repository: absent")
@pytest.mark.parametrize("snippet", _required(), ids=lambda snippet: f"line-{snippet.line}")
@pytest.mark.usefixtures("exchange")
def test_every_snippet_of_the_requirements_runs(snippet: Snippet) -> None:
    later = LATER.intersection(snippet.public_names())
    if later:
        pytest.skip(f"uses {', '.join(sorted(later))}, which come with their venue or destination")
    code = snippet.code.replace("import streamforge as sf", "import streamforge_core as sf")
    program = replace(snippet, code=code)
    names = _what_the_page_assumes()
    try:
        program.compiled()
    except SyntaxError:
        pytest.skip("shows a shape, or arguments without their call: no program by itself")

    program.run(names)

    if ".run()" in code and "register_emitter" in code:
        used = [name for name, value in names.items() if isinstance(value, RecordingEmitter)]
        received = {
            name: names[name].klines for name in used if f"register_emitter({name})" in code
        }
        assert received
        assert all(received.values()), f"no candle reached {sorted(received)}"


def test_the_pages_rule_of_aggregation_holds() -> None:
    valid = sf.DataInput("kline", ["BTCUSDT"], timeframe="1m", aggregate_list=["5m", "1h"])

    assert valid.aggregate_list == ["5m", "1h"]
    with pytest.raises(ConfigError, match="5m candles cannot be aggregated from 1h"):
        sf.DataInput("kline", ["BTCUSDT"], timeframe="1h", aggregate_list=["5m"])
