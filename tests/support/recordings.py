"""Frames in the documented shapes, by venue and name."""

import json
from pathlib import Path
from typing import Any, Final

_ROOT: Final = Path(__file__).parents[1] / "recordings"


def recorded(venue: str, name: str) -> bytes:
    """Return a recording on one line, as it is on the wire."""
    return json.dumps(recorded_json(venue, name), separators=(",", ":")).encode()


def recorded_json(venue: str, name: str) -> Any:  # noqa: ANN401 - whatever the file holds
    """Return a recording decoded."""
    return json.loads((_ROOT / venue / f"{name}.json").read_text())


def recordings(venue: str, pattern: str = "*.json") -> list[str]:
    """Return the names of a venue's recordings."""
    return sorted(path.stem for path in (_ROOT / venue).glob(pattern))
