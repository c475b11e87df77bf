"""Faults a test asks for, seen by an ordinary HTTP client."""

import time
from collections.abc import Iterator

import pytest
import requests

from streamforge_core.simulator.binance import SimulatedBinance
from streamforge_core.simulator.faults import Fault
from tests.support.simulated import at, simulated_binance

NOW = "2024-06-01"
TIME = f'{{"serverTime":{at(NOW)}}}'
ZIP = "/data/spot/daily/klines/BTCUSDT/1d/BTCUSDT-1d-2024-03-05.zip"


@pytest.fixture
def exchange() -> Iterator[SimulatedBinance]:
    with simulated_binance(NOW) as exchange:
        yield exchange


def got(exchange: SimulatedBinance, path: str = "/api/v3/time") -> requests.Response:
    return requests.get(exchange.url + path, timeout=5)


def test_a_status_with_headers_replaces_the_answer_once(exchange: SimulatedBinance) -> None:
    exchange.faults.append(Fault("time", status=429, headers={"Retry-After": "7"}))

    limited, fine = got(exchange), got(exchange)

    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "7")
    assert (fine.status_code, fine.text) == (200, TIME)


def test_a_page_of_html_can_come_instead(exchange: SimulatedBinance) -> None:
    body = "<html>maintenance</html>"
    exchange.faults.append(
        Fault("time", body=body, headers={"Content-Type": "text/html"}),
    )

    response = got(exchange)

    assert (response.status_code, response.text) == (200, body)
    assert response.headers["Content-Type"] == "text/html"


def test_one_bit_of_a_file_can_be_wrong(exchange: SimulatedBinance) -> None:
    exchange.faults.append(Fault(r"\.zip$", corrupt=True))

    wrong, right = got(exchange, ZIP).content, got(exchange, ZIP).content

    differences = [
        (position, a ^ b)
        for position, (a, b) in enumerate(zip(wrong, right, strict=True))
        if a != b
    ]
    assert differences == [(len(right) // 2, 1)]


def test_a_file_can_end_early(exchange: SimulatedBinance) -> None:
    exchange.faults.append(Fault(r"\.zip$", truncate_bytes=20))

    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="20 bytes read"):
        got(exchange, ZIP)
    assert got(exchange, ZIP).status_code == 200


def test_a_connection_can_be_cut(exchange: SimulatedBinance) -> None:
    exchange.faults.append(Fault("time", drop_connection=True))

    with pytest.raises(requests.exceptions.ConnectionError):
        got(exchange)
    assert got(exchange).text == TIME


def test_an_answer_can_be_slow() -> None:
    with simulated_binance() as exchange:
        exchange.faults.append(Fault("ping", delay_s=0.2))
        before = time.monotonic()

        response = got(exchange, "/api/v3/ping")

    assert response.json() == {}
    assert time.monotonic() - before >= 0.2


def test_requests_are_logged_whether_they_failed_or_not(exchange: SimulatedBinance) -> None:
    exchange.faults.append(Fault("time", status=500))
    got(exchange)
    got(exchange, "/api/v3/klines?symbol=BTCUSDT&interval=1d&limit=1")

    logged = [(request.method, request.path, request.parameters) for request in exchange.requests]
    assert logged == [
        ("GET", "/api/v3/time", {}),
        ("GET", "/api/v3/klines", {"symbol": "BTCUSDT", "interval": "1d", "limit": "1"}),
    ]


def test_another_process_reads_the_log_over_http(exchange: SimulatedBinance) -> None:
    got(exchange, "/api/v3/ping?x=1")
    url = f"{exchange.url}/_simulator/requests"

    assert requests.get(url, timeout=5).json() == [
        {"method": "GET", "path": "/api/v3/ping", "parameters": {"x": "1"}}
    ]
    requests.delete(url, timeout=5)
    assert requests.get(url, timeout=5).json() == []


def test_another_process_sets_faults_over_http(exchange: SimulatedBinance) -> None:
    url = f"{exchange.url}/_simulator/faults"
    requests.post(url, json={"path_pattern": "time", "status": 418}, timeout=5)
    answer = requests.post(
        url, json=[{"path_pattern": "time", "status": 503}, {"path_pattern": "ping"}], timeout=5
    )

    assert [fault["path_pattern"] for fault in answer.json()] == ["time", "time", "ping"]
    assert [got(exchange).status_code for _ in range(2)] == [418, 503]
    assert len(requests.get(url, timeout=5).json()) == 1
    requests.delete(url, timeout=5)
    assert requests.get(url, timeout=5).json() == []


def test_a_malformed_fault_is_refused(exchange: SimulatedBinance) -> None:
    url = f"{exchange.url}/_simulator/faults"

    assert requests.post(url, json={"status": 418}, timeout=5).status_code == 400
    assert requests.post(url, json={"path_pattern": "("}, timeout=5).status_code == 400
