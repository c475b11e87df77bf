from dataclasses import replace
from typing import Any

import pytest

from streamforge_core.errors import ConfigError
from streamforge_core.exchanges.binance.constants import SPOT
from streamforge_core.runners.endpoints import base_url, clock
from streamforge_core.transport.clock import AcceleratedClock, SystemClock

VARIABLE = "STREAMFORGE_BINANCE_REST_URL"


@pytest.fixture(autouse=True)
def _without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (VARIABLE, "STREAMFORGE_CLOCK"):
        monkeypatch.delenv(name, raising=False)


def test_the_venue_s_own_address_is_used_when_nothing_is_said() -> None:
    assert base_url(SPOT, "REST") == "https://api.binance.com"
    assert base_url(SPOT, "WEBSOCKET") == "wss://stream.binance.com:9443"


def test_the_environment_replaces_the_venue_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "http://127.0.0.1:8080")

    assert base_url(SPOT, "REST") == "http://127.0.0.1:8080"
    assert base_url(SPOT, "ARCHIVE") == "https://data.binance.vision"


def test_an_empty_variable_replaces_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")

    assert base_url(SPOT, "REST") == "https://api.binance.com"


def test_the_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "http://127.0.0.1:8080")

    assert base_url(SPOT, "REST", {"REST": "http://localhost:9"}) == "http://localhost:9"


def test_an_argument_for_another_kind_changes_nothing() -> None:
    url = base_url(SPOT, "REST", {"WEBSOCKET": "ws://localhost:9"})

    assert url == "https://api.binance.com"


def test_a_market_s_variable_is_named_after_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMFORGE_BINANCE_USDM_REST_URL", "http://127.0.0.1:8081")

    assert base_url(replace(SPOT, source="Binance-USDM"), "REST") == "http://127.0.0.1:8081"


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("https://proxy.example", "https://proxy.example"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_scheme_host_and_port_are_taken(given: str, used: str) -> None:
    assert base_url(SPOT, "REST", {"REST": given}) == used


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/api", "http://h/?a=1", "http://h/#top"])
def test_a_path_is_refused_because_the_documented_one_stays(url: str) -> None:
    with pytest.raises(ConfigError, match="the path that the venue documents stays"):
        base_url(SPOT, "REST", {"REST": url})


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8080", "ws://127.0.0.1", "http://", "http://h:port", "http://[::1", ""]
)
def test_what_is_no_such_url_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ConfigError, match=r"endpoints\['REST'\] is not a URL such as http://127"):
        base_url(SPOT, "REST", {"REST": url})


def test_the_variable_at_fault_is_named_and_its_value_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, "ftp://me:secret@host")

    with pytest.raises(ConfigError, match=VARIABLE) as caught:
        base_url(SPOT, "REST")

    assert "secret" not in str(caught.value)


def test_a_kind_that_does_not_exist_is_refused() -> None:
    wrong: Any = {"HTTP": "http://127.0.0.1"}

    with pytest.raises(ConfigError, match="HTTP, which is no kind of endpoint"):
        base_url(SPOT, "REST", wrong)


def test_the_clock_is_the_machine_s_unless_the_environment_says_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = clock()
    monkeypatch.setenv("STREAMFORGE_CLOCK", "60@1700000000000/1735689600000")
    simulated = clock()

    assert isinstance(machine, SystemClock)
    assert isinstance(simulated, AcceleratedClock)
    assert simulated.speed == 60


def test_a_clock_that_cannot_be_read_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMFORGE_CLOCK", "fast")

    with pytest.raises(ConfigError, match="STREAMFORGE_CLOCK: 'fast' is not a clock"):
        clock()
