"""A user's way through the UI: a week of two symbols, launched by GraphQL and by clicking."""

from datetime import date

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import OUTPUT
from tests.support.dagster_demo import RunningDemo, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

BASE = ["binance", "klines_1m"]
ALL = [BASE, *(["binance", f"klines_{each}"] for each in ("5m", "15m", "1h", "4h", "1d"))]
# The daemon looks at backfills every thirty seconds.
BACKFILL_PATIENCE_S = 240.0

PASSED = {
    "completeness": "SUCCEEDED",
    "each_candle_once": "SUCCEEDED",
    "ohlc_invariants": "SUCCEEDED",
    "volume_in_base_units": "SUCCEEDED",
}


def wednesday(days: list[str]) -> str:
    """Return the day on which the simulated exchange is down."""
    return next(day for day in days if date.fromisoformat(day).isoweekday() == 3)


def wait_until_green(demo: RunningDemo, backfill: str) -> None:
    def is_green() -> bool:
        latest = demo.latest_backfill()
        assert latest["status"] not in {"FAILED", "CANCELED", "COMPLETED_FAILED"}, latest
        return bool(latest["id"] == backfill and latest["status"] == "COMPLETED_SUCCESS")

    wait_for(f"the success of backfill {backfill}", is_green, BACKFILL_PATIENCE_S)


def test_the_demo_tells_what_to_open_and_click(demo: RunningDemo) -> None:
    assert "The first backfill is green." in demo.output
    assert f"Open   {demo.web.url}/assets/binance/klines_1m" in demo.output
    assert "tick BTCUSDT and ADABTC" in demo.output


def test_a_week_of_two_symbols_launched_by_graphql_turns_green(demo: RunningDemo) -> None:
    days = demo.web.days(BASE)[-7:]
    keys = [f"{day}|{symbol}" for day in days for symbol in ("BTCUSDT", "ADABTC")]

    wait_until_green(demo, demo.web.launch_backfill(ALL, keys))

    counts = demo.latest_backfill()["counts"]
    assert counts == {"/".join(asset): (14, 14, 0) for asset in ALL}
    assert demo.checks(BASE) == PASSED
    down = demo.metadata(BASE, f"{wednesday(days)}|ADABTC")
    assert down["found"]["intValue"] < 1440
    assert down["found"]["intValue"] + down["explained"]["intValue"] == 1440
    assert '"exchange_outage' in down["holes"]["table"]["records"][0]
    up = demo.metadata(BASE, f"{days[0]}|BTCUSDT")
    assert "](data:image/svg+xml;base64," in up["plot"]["mdStr"]


def test_a_week_of_two_symbols_launched_by_clicking_turns_green(
    demo: RunningDemo, page: Page
) -> None:
    days = demo.web.days(BASE)[-14:-7]
    page.goto("/assets/binance/klines_1m?view=partitions")
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox").first.fill(f"[{days[0]}...{days[-1]}]")
    dialog.get_by_role("textbox").first.press("Tab")
    dialog.get_by_text("Select a partition or create one").last.click()
    for symbol in ("BTCUSDT", "ADABTC"):
        dialog.locator("label").filter(has_text=symbol).last.click()
    page.keyboard.press("Escape")
    expect(dialog.get_by_text("14 partitions")).to_be_visible()
    expect(page.get_by_placeholder("Filter partitions")).to_be_hidden()
    page.screenshot(path=OUTPUT / "launch.png")

    dialog.get_by_role("button", name="Launch backfill").click()

    toast = page.get_by_text("Created backfill")
    backfill = toast.inner_text().split()[-1]
    wait_until_green(demo, backfill)
    assert demo.latest_backfill()["counts"] == {"binance/klines_1m": (14, 14, 0)}
    page.goto(f"/runs/b/{backfill}")
    expect(page.get_by_text("Succeeded").first).to_be_visible()
    page.screenshot(path=OUTPUT / "backfill.png")


def test_a_partition_shows_its_holes_and_its_plot(demo: RunningDemo, page: Page) -> None:
    down = wednesday(demo.web.days(BASE)[-7:])
    page.goto(f"/assets/binance/klines_1m?view=partitions&partition={down}%7CADABTC")
    expect(page.get_by_text("exchange_outage").first).to_be_visible()
    page.screenshot(path=OUTPUT / "partition.png")

    page.get_by_text("Show Markdown").first.click()

    plot = page.get_by_role("dialog").get_by_role("img", name=f"ADABTC {down}")
    expect(plot).to_be_visible()
    # A picture that the browser refuses has no size of its own.
    assert plot.evaluate("image => image.naturalWidth") == 720
    page.screenshot(path=OUTPUT / "plot.png", animations="disabled")


def test_the_checks_are_shown_as_passed(demo: RunningDemo, page: Page) -> None:
    assert demo.checks(BASE) == PASSED

    page.goto("/assets/binance/klines_1m?view=checks")
    page.get_by_text("completeness").first.click()

    expect(page.get_by_text("Passed").first).to_be_visible()
    page.screenshot(path=OUTPUT / "checks.png")
    page.goto("/asset-groups/binance")
    expect(page.get_by_text("klines_1m").first).to_be_visible()
    page.wait_for_timeout(2_000)  # the graph settles
    page.screenshot(path=OUTPUT / "lineage.png")
