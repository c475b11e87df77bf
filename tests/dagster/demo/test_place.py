from pathlib import Path

import pytest
import yaml

from streamforge_dagster.demo.place import demo_place, environment_of, only_one, real_place
from streamforge_dagster.demo.processes import DemoError

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the files that Dagster reads from the repository."""
    for name in ("dagster.yaml", "workspace.yaml"):
        (tmp_path / name).write_text((REPOSITORY / name).read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_invented_never_meets_what_is_real(clone: Path) -> None:
    demo, real = demo_place(None), real_place()

    assert demo.home == clone / ".dagster" / "demo"
    assert demo.store == clone / "data" / "demo"
    assert real.home == clone
    assert environment_of(demo)["STREAMFORGE_STORE"] == str(clone / "data" / "demo")
    assert environment_of(demo)["DAGSTER_HOME"] == str(clone / ".dagster" / "demo")
    assert environment_of(real)["DAGSTER_HOME"] == str(clone)


def test_the_demo_differs_from_the_real_instance_in_its_folders_alone(clone: Path) -> None:
    home = demo_place(None).home

    real = yaml.safe_load((clone / "dagster.yaml").read_text())
    demo = yaml.safe_load((home / "dagster.yaml").read_text())
    assert demo["storage"] == {"sqlite": {"base_dir": str(home)}}
    assert demo["local_artifact_storage"]["config"] == {"base_dir": str(home)}
    assert demo["compute_logs"]["config"] == {"base_dir": str(home / "compute_logs")}
    for moved in ("storage", "local_artifact_storage", "compute_logs"):
        del real[moved], demo[moved]
    assert demo == real


def test_nothing_of_the_real_instance_lies_beside_the_sources(clone: Path) -> None:
    declared = yaml.safe_load((clone / "dagster.yaml").read_text())

    assert declared["storage"]["sqlite"]["base_dir"] == ".dagster"
    assert declared["local_artifact_storage"]["config"]["base_dir"] == ".dagster"
    assert declared["compute_logs"]["config"]["base_dir"] == ".dagster/compute_logs"
    assert real_place().files == clone / ".dagster"


def test_a_plain_dagster_dev_finds_the_real_instance_afterwards(clone: Path) -> None:
    real_place()

    written = (clone / ".env").read_text()
    assert written == f"DAGSTER_HOME={clone}\nDAGSTER_DISABLE_TELEMETRY=1\n"


def test_an_environment_file_of_the_users_own_stays(clone: Path) -> None:
    (clone / ".env").write_text("STREAMFORGE_STORE=elsewhere\n")

    real_place()

    assert (clone / ".env").read_text() == "STREAMFORGE_STORE=elsewhere\n"


def test_outside_the_repository_nothing_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(DemoError, match=r"no workspace\.yaml"):
        demo_place(None)


def test_two_at_once_on_the_same_files_are_refused(clone: Path) -> None:
    place = demo_place(clone / "state")

    with only_one(place), pytest.raises(DemoError, match="It runs already"), only_one(place):
        pass
    with only_one(place):  # the first has gone: the next may come
        pass
