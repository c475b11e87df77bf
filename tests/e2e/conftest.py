"""One demo for all tests that only look at it; a browser where Chromium is installed."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.support.dagster_demo import RunningDemo

OUTPUT = Path(__file__).parent / "output"

_CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    """The demo, its first backfill done."""
    with RunningDemo(tmp_path_factory.mktemp("demo")) as running:
        running.wait_for_line("Ctrl-C stops everything.")
        yield running


@pytest.fixture
def page(demo: RunningDemo) -> Iterator[Page]:
    """A page of Debian's Chromium whose addresses are relative to the UI."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("the browser tests need Chromium (Debian: apt-get install chromium)")
    OUTPUT.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_CHROMIUM_ARGUMENTS)
        context = browser.new_context(
            base_url=demo.web.url, viewport={"width": 1600, "height": 1000}, timezone_id="UTC"
        )
        context.set_default_timeout(30_000)
        yield context.new_page()
        context.close()
        browser.close()
