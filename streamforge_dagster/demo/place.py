"""Where the demo and its Dagster keep what they write."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from filelock import FileLock, Timeout

from streamforge_dagster.demo.processes import DemoError


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything lies.

    Attributes:
        root: The repository.
        home: Dagster's home: its settings, its history.
        store: The Parquet store, None for the one that the settings name.
        cwd: Where Dagster's processes start.
    """

    root: Path
    home: Path
    store: Path | None
    cwd: Path

    @property
    def files(self) -> Path:
        """The folder for logs and for the lock."""
        folder = self.home / ".dagster" if self.home == self.root else self.home
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def real_place() -> Place:
    """Return the repository itself."""
    root = _root()
    environment = root / ".env"
    if not environment.exists():
        # So that a plain `dagster dev` finds the same instance afterwards.
        environment.write_text(f"DAGSTER_HOME={root}\nDAGSTER_DISABLE_TELEMETRY=1\n")
    return Place(root=root, home=root, store=None, cwd=root)


def demo_place(state: Path | None) -> Place:
    """Give the demo a home and a store of its own: what is invented never meets what is real."""
    root = _root()
    home = (state / "dagster" if state else root / ".dagster" / "demo").absolute()
    store = (state / "data" if state else root / "data" / "demo").absolute()
    home.mkdir(parents=True, exist_ok=True)
    text = (root / "dagster.yaml").read_text()
    settings = yaml.safe_load(text)
    settings["storage"]["sqlite"]["base_dir"] = str(home)
    settings["local_artifact_storage"]["config"]["base_dir"] = str(home)
    settings["compute_logs"]["config"]["base_dir"] = str(home / "compute_logs")
    (home / "dagster.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    return Place(root=root, home=home, store=store, cwd=home)


def _root() -> Path:
    root = Path.cwd()
    if not (root / "workspace.yaml").is_file():
        raise DemoError(f"There is no workspace.yaml in {root}. Start this in the repository.")
    return root


@contextmanager
def only_one(place: Place) -> Iterator[None]:
    """Keep a second demo away from the same SQLite files."""
    lock = FileLock(place.files / "running.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise DemoError(
            f"It runs already, on the files in {place.files}. Stop that one first."
        ) from None
    try:
        yield
    finally:
        lock.release()


def environment_of(place: Place) -> dict[str, str]:
    """Return the variables of every process."""
    chosen = {
        "DAGSTER_HOME": str(place.home),
        "STREAMFORGE_SETTINGS": os.environ.get("STREAMFORGE_SETTINGS")
        or str(place.root / "streamforge.yaml"),
        "DAGSTER_DISABLE_TELEMETRY": "1",  # the setting alone leaves two empty folders in the home
        "PYTHONUNBUFFERED": "1",
    }
    if place.store:
        chosen["STREAMFORGE_STORE"] = str(place.store)
    return {**os.environ, **chosen}
