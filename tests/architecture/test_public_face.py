"""The public face: one sorted list of names, each of them there, none of them heavy to import."""

import ast
import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import streamforge_core as sf

FACE = Path(sf.__file__)
HOME: dict[str, str] = sf._HOME  # noqa: SLF001 - the table itself is under test

# Whoever imports the library has asked for none of these yet.
HEAVY = ("dagster", "duckdb", "kafka", "numpy", "pandas", "polars", "psycopg", "pyarrow")
MORE_HEAVY = ("aiohttp", "click", "pydantic", "requests", "rich", "sqlalchemy", "websockets")
# A live stream reads no columns: these cost 60 to 90 MB and half a second.
COLUMNS = ("dagster", "duckdb", "kafka", "pandas", "polars", "pyarrow", "sqlalchemy")


def loaded_by(script: str) -> set[str]:
    """Return the top-level packages that a fresh interpreter has loaded after a script."""
    tail = "; import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    process = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", script + tail], capture_output=True, text=True, check=True
    )
    return set(process.stdout.split())


def _order(name: str) -> tuple[int, list[str | int]]:
    """Sort as ruff's RUF022 does: CONSTANTS, Classes, the rest; digits by their value."""
    kind = 0 if name.isupper() else 1 if name[0].isupper() else 2
    parts = re.split(r"(\d+)", name)
    return kind, [int(part) if part.isdigit() else part for part in parts]


def test_public_names_are_sorted_and_stand_once() -> None:
    assert sf.__all__ == sorted(set(sf.__all__), key=_order)


def test_public_names_are_those_that_have_a_home() -> None:
    assert set(sf.__all__) == {*HOME, "__version__"}


@pytest.mark.parametrize("name", sorted(HOME))
def test_every_public_name_is_importable(name: str) -> None:
    module, _, attribute = HOME[name].partition(":")

    assert getattr(sf, name) is getattr(
        import_module(f"streamforge_core.{module}"), attribute or name
    )


@pytest.mark.parametrize("name", sorted(HOME))
def test_every_public_class_and_function_says_what_it_does(name: str) -> None:
    value = getattr(sf, name)
    if inspect.isclass(value) or inspect.isroutine(value):
        assert (value.__doc__ or "").strip(), f"{name} has no docstring"


def test_type_checkers_and_the_interpreter_see_the_same_names() -> None:
    tree = ast.parse(FACE.read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname or alias.name: (str(node.module), alias.name)
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    homes = {
        name: (f"streamforge_core.{home.partition(':')[0]}", home.partition(":")[2] or name)
        for name, home in HOME.items()
    }

    assert seen == homes


def test_only_public_names_are_listed() -> None:
    assert dir(sf) == sorted(sf.__all__)


def test_other_names_are_an_ordinary_error() -> None:
    with pytest.raises(AttributeError, match="module 'streamforge_core' has no attribute 'Klines'"):
        _ = sf.Klines


def test_importing_the_library_loads_nothing_heavy() -> None:
    assert loaded_by("import streamforge_core") & {*HEAVY, *MORE_HEAVY} == set()


def test_a_live_stream_loads_no_columns() -> None:
    script = (
        "import streamforge_core as sf; sf.BinanceRunner; sf.DataInput; sf.Kline; sf.CSVEmitter"
    )

    assert loaded_by(script) & set(COLUMNS) == set()
