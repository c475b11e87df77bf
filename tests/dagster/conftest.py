"""One world for each test: nothing one test stores or breaks is seen by another."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dagster_world import World, a_world


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Dagster over an exchange that was down for forty minutes on 2024-01-03."""
    with a_world(tmp_path, monkeypatch) as each:
        yield each
