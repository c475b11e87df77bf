"""The files that start Dagster: loadable, and of one mind."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._core.instance.ref import InstanceRef

ROOT = Path(__file__).parents[2]


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return found


@pytest.fixture
def compose() -> dict[str, Any]:
    return read("docker-compose.yml")


def test_dagster_accepts_its_settings(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())

    assert InstanceRef.from_dir(str(tmp_path)).settings["telemetry"] == {"enabled": False}


def test_dagster_accepts_the_settings_of_the_containers(
    tmp_path: Path, compose: dict[str, Any]
) -> None:
    (tmp_path / "dagster.yaml").write_text(compose["configs"]["dagster"]["content"])

    storage = InstanceRef.from_dir(str(tmp_path)).storage_data
    assert storage is not None
    assert storage.class_name == "DagsterPostgresStorage"


def test_containers_differ_in_the_storage_alone(compose: dict[str, Any]) -> None:
    containers = yaml.safe_load(compose["configs"]["dagster"]["content"])
    here = read("dagster.yaml")

    for kept_elsewhere in ("storage", "local_artifact_storage", "compute_logs"):
        here.pop(kept_elsewhere, None)
        containers.pop(kept_elsewhere, None)
    assert containers == here


def test_code_has_one_name_everywhere(compose: dict[str, Any]) -> None:
    [here] = read("workspace.yaml")["load_from"]
    [there] = yaml.safe_load(compose["configs"]["workspace"]["content"])["load_from"]

    assert here["python_module"]["module_name"] == "streamforge_dagster.definitions"
    assert here["python_module"]["location_name"] == "streamforge"
    assert there["grpc_server"]["location_name"] == "streamforge"
    assert (ROOT / "pyproject.toml").read_text().count('code_location_name = "streamforge"') == 1


def test_no_secret_is_written_down_and_no_port_is_open_to_others(compose: dict[str, Any]) -> None:
    secrets = [
        value
        for service in compose["services"].values()
        for name, value in service["environment"].items()
        if "PASSWORD" in name
    ]
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]

    assert {secret.partition(":?")[0] for secret in secrets} == {"${POSTGRES_PASSWORD"}
    assert ports == ["127.0.0.1:${PORT:-3000}:3000"]


def test_services_start_after_the_migration(compose: dict[str, Any]) -> None:
    services = compose["services"]

    assert services["init"]["command"] == ["dagster", "instance", "migrate"]
    for name in ("code", "webserver", "daemon"):
        assert services[name]["depends_on"] == {
            "init": {"condition": "service_completed_successfully"}
        }
