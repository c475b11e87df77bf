"""Who is measured: libraries, their versions, the environment each is installed in."""

import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final

from benchmarks.measuring import ROOT

PEERS_FOLDER: Final = ROOT / "benchmarks" / ".peers"
"""Environments of peers that cannot share ours, one folder each; git ignores it."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a library is installed.

    Attributes:
        name: Of its folder below `PEERS_FOLDER`; "" is the environment that runs the benchmarks.
        requirements: What pip is to install there; ours comes from requirements.lock.
    """

    name: str = ""
    requirements: tuple[str, ...] = ()

    @property
    def python(self) -> Path:
        """The interpreter, whether it exists or not."""
        return PEERS_FOLDER / self.name / "bin" / "python" if self.name else Path(sys.executable)

    def version(self, distribution: str) -> str | None:
        """Return a distribution's version, None where it is not installed."""
        if self.name:
            return _version_there(self.python, distribution)
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            return None


@cache
def _version_there(python: Path, distribution: str) -> str | None:
    if not python.exists():
        return None
    ask = "import sys, importlib.metadata as m; print(m.version(sys.argv[1]))"
    command = [str(python), "-c", ask, distribution]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - an interpreter we chose
    return answer.stdout.strip() or None


OURS: Final = Environment()


@dataclass(frozen=True, slots=True)
class Library:
    """A library that takes part.

    A peer with an environment of its own is measured there (`measuring.Worker`).
    """

    name: str
    distribution: str
    environment: Environment = OURS

    @property
    def version(self) -> str | None:
        """What is installed, None where it is not."""
        return self.environment.version(self.distribution)


STREAMFORGE: Final = Library("StreamForge", "streamforge-dagster")
NUMPY: Final = Library("NumPy", "numpy")
MSGSPEC: Final = Library("msgspec", "msgspec")
PYDANTIC: Final = Library("pydantic", "pydantic")
PANDAS: Final = Library("pandas", "pandas")
POLARS: Final = Library("polars", "polars")
DUCKDB: Final = Library("duckdb", "duckdb")
