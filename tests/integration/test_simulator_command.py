"""The simulator as a command: a process of its own, ended by a signal."""

import signal
import subprocess
import sys
import threading

import pytest
import requests

from streamforge_core.simulator.server import serve
from streamforge_core.transport.clock import clock_from
from tests.support.simulated import at

PROGRAM = """
from streamforge_core.simulator.server import serve
serve(announce=lambda line: print(line, flush=True), port=0, speed=60, start="2024-01-01",
      symbols=["FOOUSDT"])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_announces_its_environment_and_ends_by_a_signal(number: signal.Signals) -> None:
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline().strip() for _ in range(5)]
        environment = dict(line.removeprefix("export ").split("=", 1) for line in lines[:4])
        url = environment["STREAMFORGE_BINANCE_REST_URL"]
        server_ms = requests.get(f"{url}/api/v3/time", timeout=20).json()["serverTime"]
        clock_ms = clock_from(environment["STREAMFORGE_CLOCK"]).now_ms()
        process.send_signal(number)
        rest, _ = process.communicate(timeout=20)
    finally:
        process.kill()

    assert at("2024-01-01") <= server_ms <= clock_ms < at("2024-01-02")
    assert environment["STREAMFORGE_BINANCE_ARCHIVE_URL"] == url
    assert environment["STREAMFORGE_BINANCE_WEBSOCKET_URL"] == url.replace("http", "ws")
    assert lines[4].startswith(f"Simulated Binance on {url}: BTCUSDT")
    assert "FOOUSDT" in lines[4]
    assert rest == "Stopped.\n"
    assert process.returncode == 0


def test_it_ends_by_an_event_in_any_thread() -> None:
    stop, ready, lines = threading.Event(), threading.Event(), []

    def announce(line: str) -> None:
        lines.append(line)
        if line.startswith("Simulated"):
            ready.set()

    thread = threading.Thread(target=lambda: serve(announce=announce, port=0, stop=stop))
    thread.start()
    assert ready.wait(20)
    stop.set()
    thread.join(20)

    assert lines[-1] == "Stopped."
    # A clock that runs as the machine's needs no variable.
    assert [line.partition("=")[0] for line in lines[:-2]] == [
        "export STREAMFORGE_BINANCE_REST_URL",
        "export STREAMFORGE_BINANCE_ARCHIVE_URL",
        "export STREAMFORGE_BINANCE_WEBSOCKET_URL",
    ]
