"""Where code lies: the same files for every venue, a test file for every module."""

from pathlib import Path

import pytest

import streamforge_core

CORE = Path(streamforge_core.__file__).parent
TESTS = Path(__file__).parents[1]
UNIT = TESTS / "unit"

VENUE_FILES = {
    "__init__.py",
    "constants.py",
    "history.py",
    "instruments.py",
    "messages.py",
    "normalizer.py",
    "protocol.py",
}

# Module without a test file of its own -> the file that tests it.
TESTED_ELSEWHERE = {
    "__init__.py": "architecture/test_public_face.py",  # name by name
    "__main__.py": "architecture/test_documents.py",  # two lines: a process of their own
    # Servers and their switches: what they do is seen over a socket.
    "simulator/binance.py": "integration/test_simulator_binance.py",
    "simulator/binance_socket.py": "integration/test_simulator_socket.py",
    "simulator/binance_web.py": "integration/test_simulator_binance.py",
    "simulator/exchange_server.py": "integration/test_simulator_exchange_server.py",
    "simulator/web_faults.py": "integration/test_simulator_faults.py",
}

# Test file without a module of its own -> what it is about.
ABOUT_SEVERAL = {
    "pipeline/test_rollup_equals_aggregate.py": "the live and the batch aggregator together",
}


def _venues() -> list[Path]:
    return sorted(
        path for path in (CORE / "exchanges").iterdir() if (path / "__init__.py").exists()
    )


def _modules() -> list[str]:
    return sorted(
        path.relative_to(CORE).as_posix()
        for path in CORE.rglob("*.py")
        if path.name != "__init__.py" or _has_code(path)
    )


def _has_code(file: Path) -> bool:
    """Tell whether a package's face defines something, and does not only re-export."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return any(line.startswith(("def ", "class ", "async def ")) for line in lines)


def _test_file_of(module: str) -> str:
    """Return streamforge_core/pipeline/rollup.py -> tests/unit/pipeline/test_rollup.py."""
    path = Path(module)
    if path.name == "__init__.py":  # a package is tested under its own name
        return (path.parent / f"test_{path.parent.name}.py").as_posix()
    return (path.parent / f"test_{path.name}").as_posix()


@pytest.mark.parametrize("venue", _venues(), ids=lambda path: path.name)
def test_every_venue_has_the_same_six_files(venue: Path) -> None:
    assert {path.name for path in venue.glob("*.py")} == VENUE_FILES
    assert [path.name for path in venue.iterdir() if path.is_dir() and path.name[0] != "_"] == []


@pytest.mark.parametrize("module", [each for each in _modules() if each not in TESTED_ELSEWHERE])
def test_every_module_has_its_own_test_file(module: str) -> None:
    assert (UNIT / _test_file_of(module)).is_file(), (
        f"streamforge_core/{module} has no tests/unit/{_test_file_of(module)}"
    )


def test_every_unit_test_file_mirrors_a_module() -> None:
    mirrored = {_test_file_of(module) for module in _modules()}
    found = {path.relative_to(UNIT).as_posix() for path in UNIT.rglob("test_*.py")}

    assert found - mirrored - set(ABOUT_SEVERAL) == set()


def test_the_exceptions_are_still_needed() -> None:
    assert set(TESTED_ELSEWHERE) <= set(_modules())
    assert [name for name in TESTED_ELSEWHERE.values() if not (TESTS / name).exists()] == []
    assert [name for name in TESTED_ELSEWHERE if (UNIT / _test_file_of(name)).exists()] == []
    assert [name for name in ABOUT_SEVERAL if not (UNIT / name).exists()] == []


def test_every_folder_of_tests_is_a_package() -> None:
    folders = {path.parent for path in TESTS.rglob("*.py")}

    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []
