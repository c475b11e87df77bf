"""Dagster's GraphQL interface, as far as the demo and the end-to-end tests speak it."""

from collections.abc import Sequence
from typing import Any, Final

import requests

from streamforge_dagster.demo.processes import DemoError

LOCATION: Final = "streamforge"

_LOCATION_QUERY: Final = """
query { workspaceOrError { ... on Workspace { locationEntries { name loadStatus
  locationOrLoadError { __typename ... on PythonError { message } } } } } }
"""
_KEYS_QUERY: Final = """
query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  partitionKeysByDimension { name partitionKeys } } } }
"""
_ADD_MUTATION: Final = """
mutation($repository: RepositorySelector!, $partitions: String!, $key: String!) {
  addDynamicPartition(repositorySelector: $repository, partitionsDefName: $partitions,
    partitionKey: $key) { __typename ... on PythonError { message } } }
"""
_LAUNCH_MUTATION: Final = """
mutation($parameters: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $parameters) { __typename
    ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }
"""
_BACKFILL_QUERY: Final = """
query($id: String!) { partitionBackfillOrError(backfillId: $id) { __typename
  ... on PartitionBackfill { status error { message } } ... on PythonError { message } } }
"""

_TIMEOUT_S: Final = 60.0
_LOADED: Final = "LOADED"
_ENDED: Final = frozenset({"COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED"})
BACKFILL_SUCCEEDED: Final = "COMPLETED_SUCCESS"


class NotReachable(DemoError):
    """Nobody answers, or not yet."""


class Webserver:
    """Dagster's webserver on a loopback port.

    Args:
        port: Its port.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """Return the data that answers a query.

        Raises:
            NotReachable: Nobody answers.
            DemoError: The answer is an error.
        """
        body = {"query": query, "variables": variables}
        try:
            answer = requests.post(f"{self.url}/graphql", json=body, timeout=_TIMEOUT_S).json()
        except requests.RequestException as error:
            raise NotReachable(f"{self.url} does not answer: {error}") from error
        if answer.get("errors"):
            raise DemoError(f"Dagster refused a query: {answer['errors'][0]['message']}")
        data: dict[str, Any] = answer["data"]
        return data

    def has_loaded(self) -> bool:
        """Tell whether the UI answers and shows our definitions.

        Raises:
            NotReachable: The UI does not answer.
            DemoError: The definitions cannot be loaded; the message says why.
        """
        workspace = self.ask(_LOCATION_QUERY)["workspaceOrError"]
        for entry in workspace.get("locationEntries", []):
            loaded = entry["locationOrLoadError"]
            if loaded and loaded["__typename"] == "PythonError":
                raise DemoError(f"The definitions cannot be loaded:\n{loaded['message']}")
            if entry["name"] == LOCATION and entry["loadStatus"] == _LOADED and loaded:
                return True
        return False

    def days(self, asset: Sequence[str]) -> list[str]:
        """Return the days of an asset's partitions, ascending."""
        node = self.ask(_KEYS_QUERY, key={"path": list(asset)})["assetNodeOrError"]
        days: list[str] = next(
            each["partitionKeys"]
            for each in node["partitionKeysByDimension"]
            if each["name"] == "date"
        )
        return days

    def add_symbol(self, partitions: str, symbol: str) -> None:
        """Make a symbol known; one that is known already stays."""
        repository = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__"}
        result = self.ask(_ADD_MUTATION, repository=repository, partitions=partitions, key=symbol)
        _check(result["addDynamicPartition"], "AddDynamicPartitionSuccess", "DuplicateDynamic")

    def launch_backfill(self, assets: Sequence[Sequence[str]], keys: Sequence[str]) -> str:
        """Launch a backfill of some partitions and return its id.

        Raises:
            DemoError: Dagster refuses it.
        """
        parameters = {
            "assetSelection": [{"path": list(asset)} for asset in assets],
            "partitionNames": list(keys),
        }
        result = self.ask(_LAUNCH_MUTATION, parameters=parameters)["launchPartitionBackfill"]
        _check(result, "LaunchBackfillSuccess")
        identity: str = result["backfillId"]
        return identity

    def backfill_status(self, identity: str) -> str:
        """Return how far a backfill is, such as "REQUESTED" or "COMPLETED_SUCCESS"."""
        result = self.ask(_BACKFILL_QUERY, id=identity)["partitionBackfillOrError"]
        _check(result, "PartitionBackfill")
        status: str = result["status"]
        return status


def has_ended(status: str) -> bool:
    """Tell whether a backfill with this status goes on no more."""
    return status in _ENDED


def _check(result: dict[str, Any], *expected: str) -> None:
    if not result["__typename"].startswith(expected):
        raise DemoError(f"Dagster answered {result['__typename']}: {result.get('message', '')}")
