from collections.abc import Iterator
from typing import Any

import pytest

from streamforge_dagster.demo.processes import DemoError
from streamforge_dagster.demo.webserver import NotReachable, Webserver, has_ended
from tests.support.dagster_demo import free_port
from tests.support.fake_dagster import fake_dagster


class Script:
    """What the server says next, and what it was asked."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}
        self.errors: list[dict[str, str]] = []
        self.variables: dict[str, Any] = {}

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        del query
        self.variables = variables
        return {"data": self.data, "errors": self.errors}


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def web(script: Script) -> Iterator[Webserver]:
    with fake_dagster(script.answer) as port:
        yield Webserver(port)


def location(status: str, kind: str = "RepositoryLocation", message: str = "") -> dict[str, Any]:
    loaded = {"__typename": kind, "message": message}
    entry = {"name": "streamforge", "loadStatus": status, "locationOrLoadError": loaded}
    return {"workspaceOrError": {"locationEntries": [entry]}}


def test_nobody_listening_is_told_apart_from_a_wrong_answer() -> None:
    with pytest.raises(NotReachable):
        Webserver(free_port()).has_loaded()


def test_a_query_that_is_refused_names_the_reason(web: Webserver, script: Script) -> None:
    script.errors = [{"message": "Cannot query field"}]

    with pytest.raises(DemoError, match="Cannot query field"):
        web.days(["binance", "klines_1m"])


@pytest.mark.parametrize(("status", "loaded"), [("LOADED", True), ("LOADING", False)])
def test_the_definitions_count_once_they_are_loaded(
    web: Webserver, script: Script, status: str, *, loaded: bool
) -> None:
    script.data = location(status)

    assert web.has_loaded() is loaded


def test_definitions_that_cannot_be_loaded_say_why(web: Webserver, script: Script) -> None:
    script.data = location("LOADED", "PythonError", "InvalidSettings: line 3")

    with pytest.raises(DemoError, match="InvalidSettings: line 3"):
        web.has_loaded()


def test_days_are_those_of_the_date_dimension(web: Webserver, script: Script) -> None:
    script.data = {
        "assetNodeOrError": {
            "partitionKeysByDimension": [
                {"name": "symbol", "partitionKeys": ["BTCUSDT"]},
                {"name": "date", "partitionKeys": ["2024-01-01", "2024-01-02"]},
            ]
        }
    }

    assert web.days(["binance", "klines_1m"]) == ["2024-01-01", "2024-01-02"]
    assert script.variables == {"key": {"path": ["binance", "klines_1m"]}}


@pytest.mark.parametrize("kind", ["AddDynamicPartitionSuccess", "DuplicateDynamicPartitionError"])
def test_a_symbol_may_be_known_already(web: Webserver, script: Script, kind: str) -> None:
    script.data = {"addDynamicPartition": {"__typename": kind}}

    web.add_symbol("binance_symbols", "BTCUSDT")

    assert script.variables["partitions"] == "binance_symbols"
    assert script.variables["key"] == "BTCUSDT"


def test_a_backfill_that_is_launched_has_an_id(web: Webserver, script: Script) -> None:
    launched = {"__typename": "LaunchBackfillSuccess", "backfillId": "abcdefgh"}
    script.data = {"launchPartitionBackfill": launched}

    assert web.launch_backfill([["binance", "klines_1m"]], ["2024-01-01|BTCUSDT"]) == "abcdefgh"
    assert script.variables["parameters"] == {
        "assetSelection": [{"path": ["binance", "klines_1m"]}],
        "partitionNames": ["2024-01-01|BTCUSDT"],
    }


def test_a_backfill_that_is_refused_says_why(web: Webserver, script: Script) -> None:
    refused = {"__typename": "PythonError", "message": "no such partition"}
    script.data = {"launchPartitionBackfill": refused}

    with pytest.raises(DemoError, match="PythonError: no such partition"):
        web.launch_backfill([["binance", "klines_1m"]], ["x"])


@pytest.mark.parametrize(
    ("status", "ended"),
    [("REQUESTED", False), ("COMPLETED_SUCCESS", True), ("CANCELED", True), ("FAILED", True)],
)
def test_a_backfill_goes_on_until_its_status_says_otherwise(
    web: Webserver, script: Script, status: str, *, ended: bool
) -> None:
    script.data = {
        "partitionBackfillOrError": {"__typename": "PartitionBackfill", "status": status}
    }

    assert has_ended(web.backfill_status("abcdefgh")) is ended
