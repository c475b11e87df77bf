"""The house as it is documented: the files at the top, the rooms, and what lies in none of them."""

import tomllib
from pathlib import Path

import pytest

import streamforge_core as sf
from streamforge_core.runners.settings_file import load_settings

ROOT = Path(__file__).parents[2]

TOP_FILES = (
    "pyproject.toml", "README.md", "CHANGELOG.md", "Makefile", "Dockerfile", "requirements.lock",
    "workspace.yaml", "dagster.yaml", "docker-compose.yml", "streamforge.yaml",
)  # fmt: skip  # one list of names
TOP_FOLDERS = ("streamforge_core", "streamforge_dagster", "tests", "benchmarks", "docs")
TEST_FOLDERS = {
    "unit", "contract", "integration", "dagster", "e2e", "architecture", "support", "recordings",
}  # fmt: skip  # likewise
FLOORS = {
    "emitters", "exchanges", "model", "pipeline", "runners", "simulator", "store", "transport",
}  # fmt: skip  # likewise
MODULES = {"__init__", "__main__", "cli", "errors", "logs"}
NO_NAMES = ("utils", "util", "helpers", "helper", "manager", "common", "misc")


def folders(path: Path) -> set[str]:
    return {each.name for each in path.iterdir() if each.is_dir() and each.name[0] not in "._"}


@pytest.mark.parametrize("name", TOP_FILES)
def test_every_documented_file_exists(name: str) -> None:
    assert (ROOT / name).is_file()


@pytest.mark.parametrize("name", TOP_FOLDERS)
def test_every_documented_folder_exists(name: str) -> None:
    assert (ROOT / name).is_dir()


def test_core_has_the_documented_floors() -> None:
    core = ROOT / "streamforge_core"

    assert folders(core) == FLOORS
    assert {path.stem for path in core.glob("*.py")} == MODULES


def test_tests_have_the_documented_rooms() -> None:
    assert folders(ROOT / "tests") <= TEST_FOLDERS


def test_no_module_is_named_after_nothing() -> None:
    sources = [*ROOT.glob("streamforge_*/**/*.py"), *ROOT.glob("tests/**/*.py")]

    assert [str(path) for path in sources if path.stem in NO_NAMES] == []


def test_the_version_stands_in_one_place_for_users_and_one_for_pip() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert project["version"] == sf.__version__


def test_what_is_declared_can_be_loaded() -> None:
    assert load_settings(ROOT / "streamforge.yaml", {}).sources
