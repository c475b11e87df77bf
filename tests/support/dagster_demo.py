"""`make demo` as a child of a test: its output, its processes, its web server."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from streamforge_dagster.demo.webserver import Webserver

START_PATIENCE_S = 240.0
STOP_PATIENCE_S = 60.0

_CHECKS_QUERY = """
query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  assetChecksOrError { ... on AssetChecks { checks { name
    executionForLatestMaterialization { status } } } } } } }
"""
_METADATA_QUERY = """
query($key: AssetKeyInput!, $keys: [String!]) { assetNodeOrError(assetKey: $key) {
  ... on AssetNode { assetMaterializations(partitions: $keys, limit: 1) { metadataEntries {
    __typename label ... on IntMetadataEntry { intValue } ... on MarkdownMetadataEntry { mdStr }
    ... on TableMetadataEntry { table { records } } } } } } }
"""
_BACKFILLS_QUERY = """
query { partitionBackfillsOrError(limit: 1) { ... on PartitionBackfills { results { id status
  assetBackfillData { assetBackfillStatuses { ... on AssetPartitionsStatusCounts {
    assetKey { path } numPartitionsTargeted numPartitionsMaterialized numPartitionsFailed
  } } } } } } }
"""


def free_port() -> int:
    """Return a port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(what: str, condition: Callable[[], bool], patience_s: float) -> float:
    """Wait until something holds; return how many seconds it took."""
    begun = time.monotonic()
    while not condition():
        waited = time.monotonic() - begun
        assert waited < patience_s, f"{what} did not happen within {patience_s:.0f} s"
        time.sleep(0.2)
    return time.monotonic() - begun


class RunningDemo:
    """The demo on a free port, with a folder of its own; `with` ends it.

    Args:
        state: Everything it writes lies there.
        arguments: Further arguments of the command.
        ignoring_ctrl_c: Start it as a shell starts a command in the background.
        under_a_parent: Put a process between it and the test, as `make` is one; signals go there.
    """

    def __init__(
        self,
        state: Path,
        *arguments: str,
        ignoring_ctrl_c: bool = False,
        under_a_parent: bool = False,
    ) -> None:
        self.state = state
        self.port = free_port()
        self.web = Webserver(self.port)
        self._lines: list[str] = []
        command = [sys.executable, "-m", "streamforge_dagster.demo", "--port", str(self.port)]
        command += ["--state", str(state), *arguments]
        prologue = "trap '' INT; " if ignoring_ctrl_c else ""
        run = '"$@"; exit $?' if under_a_parent else 'exec "$@"'
        self.process = subprocess.Popen(  # noqa: S603 - our own command
            ["/bin/sh", "-c", prologue + run, "sh", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # a Ctrl-C meant for it must not reach the tests
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self._lines.extend(self.process.stdout)

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return "".join(self._lines)

    def wait_for_line(self, text: str) -> float:
        """Wait until it has printed something; return how many seconds that took."""

        def printed() -> bool:
            assert self.process.poll() is None or text in self.output, self.output
            return text in self.output

        return wait_for(f"the line {text!r}", printed, START_PATIENCE_S)

    def processes(self) -> dict[int, str]:
        """Return every living process that belongs to it, by the home it was given."""
        mark = f"DAGSTER_HOME={self.state / 'dagster'}\0".encode()
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes() + b"\0":
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found[int(folder.name)] = command
            except OSError:  # it ended in the meantime
                continue
        return found

    def signal(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal to the demo, or to its group as a terminal does."""
        if group:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def wait_until_gone(self) -> float:
        """Wait until it and all its processes have ended; return how many seconds it took."""

        def gone() -> bool:
            return self.process.poll() is not None and not self.processes()

        return wait_for("the end of every process", gone, STOP_PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        self.process.wait(STOP_PATIENCE_S)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def checks(self, asset: list[str]) -> dict[str, str]:
        """Return how each check of an asset ended for its latest materialization."""
        node = self.web.ask(_CHECKS_QUERY, key={"path": asset})["assetNodeOrError"]
        checks = node["assetChecksOrError"]["checks"]
        latest = {each["name"]: each["executionForLatestMaterialization"] for each in checks}
        return {name: each["status"] if each else "NONE" for name, each in latest.items()}

    def metadata(self, asset: list[str], partition: str) -> dict[str, Any]:
        """Return the entries of a partition's latest materialization by label."""
        node = self.web.ask(_METADATA_QUERY, key={"path": asset}, keys=[partition])
        [event] = node["assetNodeOrError"]["assetMaterializations"]
        return {entry["label"]: entry for entry in event["metadataEntries"]}

    def latest_backfill(self) -> dict[str, Any]:
        """Return the newest backfill: its id, its status and the counts of each asset."""
        found = self.web.ask(_BACKFILLS_QUERY)["partitionBackfillsOrError"]["results"][0]
        data = found["assetBackfillData"] or {"assetBackfillStatuses": []}
        counts = {
            "/".join(each["assetKey"]["path"]): (
                each["numPartitionsTargeted"],
                each["numPartitionsMaterialized"],
                each["numPartitionsFailed"],
            )
            for each in data["assetBackfillStatuses"]
        }
        return {"id": found["id"], "status": found["status"], "counts": counts}
