"""Where the settings are looked for, and what their relative paths mean."""

from pathlib import Path

import pytest

from streamforge_core.errors import ConfigError, InvalidSettings
from streamforge_core.runners.settings_file import load_settings

REPOSITORY = Path(__file__).parents[3]
DECLARED = "store: candles\nemitters:\n  - {type: csv, file_path: btc.csv}\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder, with nothing set."""
    for name in ("STREAMFORGE_SETTINGS", "STREAMFORGE_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, name: str = "streamforge.yaml", text: str = DECLARED) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_the_file_in_the_current_folder_is_read(here: Path) -> None:
    write(here)

    assert load_settings().store == here / "candles"


def test_the_variable_names_another_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(here)
    other = write(here / "other")
    monkeypatch.setenv("STREAMFORGE_SETTINGS", str(other))

    assert load_settings().store == here / "other" / "candles"
    assert load_settings(environment={"STREAMFORGE_SETTINGS": "other/streamforge.yaml"}).store == (
        here / "other" / "candles"
    )


@pytest.mark.parametrize("kind", [str, Path])
def test_an_explicit_path_wins(here: Path, kind: type) -> None:
    write(here)
    own = write(here / "own", "mine.yaml")
    environment = {"STREAMFORGE_SETTINGS": str(here / "streamforge.yaml")}

    assert load_settings(kind(own), environment).store == here / "own" / "candles"


def test_relative_paths_are_relative_to_the_file(here: Path) -> None:
    settings = load_settings(write(here / "deep" / "folder"))

    assert settings.store == here / "deep" / "folder" / "candles"
    assert settings.emitters[0].options["file_path"] == here / "deep" / "folder" / "btc.csv"


def test_a_relative_path_out_of_the_environment_is_too(here: Path) -> None:
    file = write(here / "deep")

    assert load_settings(file, {"STREAMFORGE_STORE": "x"}).store == here / "deep" / "x"
    assert load_settings(file, {"STREAMFORGE_STORE": str(here)}).store == here


def test_absolute_paths_and_the_home_folder_stay_what_they_are(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(here / "home"))
    text = "store: ~/candles\nemitters:\n  - {type: parquet, path: /mnt/elsewhere}\n"

    settings = load_settings(write(here, text=text))

    assert settings.store == here / "home" / "candles"
    assert settings.emitters[0].options["path"] == Path("/mnt/elsewhere")


def test_variables_come_from_the_process_unless_given(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(here, text="store: ${WHERE:-data}\n")
    monkeypatch.setenv("WHERE", "from-process")

    assert load_settings(file).store == here / "from-process"
    assert load_settings(file, {}).store == here / "data"
    assert load_settings(file, {"WHERE": "given"}).store == here / "given"


def test_a_missing_file_is_answered_with_how_to_make_one(here: Path) -> None:
    with pytest.raises(ConfigError, match="There is no settings file at") as error:
        load_settings()

    text = str(error.value)
    assert str(here / "streamforge.yaml") in text
    assert "$STREAMFORGE_SETTINGS is not set" in text
    example = text.partition("write this into it:\n")[2]
    assert load_settings(write(here, text=example)).sources[0].symbols == ("BTCUSDT",)


def test_a_missing_file_that_the_variable_names_says_so(here: Path) -> None:
    with pytest.raises(ConfigError, match=r"\$STREAMFORGE_SETTINGS is gone\.yaml"):
        load_settings(environment={"STREAMFORGE_SETTINGS": "gone.yaml"})
    assert list(here.iterdir()) == []


def test_a_folder_and_bytes_are_no_settings(here: Path) -> None:
    (here / "bytes.yaml").write_bytes(b"store: \xff")

    for path in (here, here / "bytes.yaml"):
        with pytest.raises(ConfigError, match="cannot be read"):
            load_settings(path)


def test_complaints_name_the_file(here: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"^mine\.yaml, line 1: stor is unknown"):
        load_settings(write(here, "mine.yaml", "stor: x"))


def test_the_declaration_of_this_repository_is_valid() -> None:
    settings = load_settings(REPOSITORY / "streamforge.yaml", {})

    assert settings.store == REPOSITORY / "data"
    assert [source.source for source in settings.sources] == ["Binance"]
    assert settings.sources[0].rollups == ("5m", "15m", "1h", "4h", "1d")
    assert [stream.name for stream in settings.streams] == ["binance-spot"]
