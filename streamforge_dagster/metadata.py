"""Numbers, tables and plots of stored candles that the UI shows."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

import streamforge_core as sf
from streamforge_dagster.partitions import DAY, milliseconds
from streamforge_dagster.resources import StoredDay

Facts = dict[str, Any]

_HOLES_SHOWN: Final = 50
_PLOTTED: Final = {"1s": "15m", "1m": "15m", "3m": "15m", "5m": "15m"}
"""Timeframes too fine for a small picture -> what is drawn instead."""

_DAY_MS: Final = int(DAY.total_seconds()) * 1000
_WIDTH: Final = 720
_HEIGHT: Final = 200
_LEFT: Final = 92
_TOP: Final = 26
_BOTTOM: Final = 22
_UP: Final = "#0a8f66"
_DOWN: Final = "#c8402f"
_HOLE: Final = "#f3c14b"

_KINDS: Final = {"string": "string", "int64": "int", "double": "float", "bool": "bool"}

_MEANINGS: Final = {
    "source": "Exchange and market",
    "symbol": "As the exchange writes it",
    "timeframe": "Length of the candle",
    "open_ts": "First instant, UTC milliseconds",
    "end_ts": "Last millisecond inside, UTC",
    "open": "First traded price, quote per base",
    "high": "Highest traded price",
    "low": "Lowest traded price",
    "close": "Last traded price",
    "volume": "Traded amount in base units",
    "quote_volume": "Traded amount in quote units",
    "vwap": "Mean price, weighted by volume",
    "n_trades": "Number of trades",
    "is_closed": "Whether it can still change",
}

_HOLE_SCHEMA: Final = dg.TableSchema(
    columns=[
        dg.TableColumn("verdict", "string", description="Why nothing is there"),
        dg.TableColumn("candles", "int"),
        dg.TableColumn("first_missing", "string", description="Open, UTC"),
        dg.TableColumn("last_missing", "string", description="Open, UTC"),
    ]
)


def column_schema() -> dg.TableSchema:
    """Return the columns of every candle table."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                field.name,
                _KINDS.get(str(field.type), str(field.type)),
                description=_MEANINGS.get(field.name),
            )
            for field in sf.KLINE_SCHEMA
        ]
    )


def declared_facts(store: Path) -> Facts:
    """Return what is known of an asset before it was ever filled."""
    return {"dagster/column_schema": column_schema(), "dagster/uri": f"file://{store.absolute()}"}


def facts(stored: StoredDay) -> Facts:
    """Return what is said about every partition of every timeframe."""
    found = stored.table.num_rows
    absent = sum(hole.count for hole in stored.holes)
    opens = stored.table["open_ts"]
    return {
        "dagster/partition_row_count": found,
        "dagster/column_schema": column_schema(),
        "expected": found + absent,
        "found": found,
        "explained": absent - stored.unexplained(),
        "unexplained": stored.unexplained(),
        "first_open": utc(opens[0].as_py()) if found else "none",
        "last_open": utc(opens[-1].as_py()) if found else "none",
        **holes(stored.holes),
    }


def archive_checksums(stored: StoredDay) -> Facts:
    """Return which bulk files the day was read from, and their digests."""
    lines = [f"- {path.rpartition('/')[2]} `{sha256}`" for path, sha256 in stored.archives]
    # As text, a digest would be one word wide enough to push the rest of the table out of sight.
    return {"archive_sha256": dg.MetadataValue.md("\n".join(lines))} if lines else {}


def holes(found: Sequence[sf.Hole]) -> Facts:
    """Return holes as a table, one row each, and who was asked about them."""
    if not found:
        return {}
    evidence = [
        f"{_minute(hole.first_open_ts)} "
        + "; ".join(f"{each.asked}: {each.answer}" for each in hole.evidence)
        for hole in found[:_HOLES_SHOWN]
        if hole.evidence
    ]
    return {
        "holes": _holes_table(found),
        **({"evidence": " | ".join(evidence)} if evidence else {}),
    }


def _holes_table(holes: Sequence[sf.Hole]) -> dg.TableMetadataValue:
    records = [
        dg.TableRecord(
            {
                "verdict": f"{hole.verdict}{', provisional' if hole.provisional else ''}",
                "candles": hole.count,
                "first_missing": _minute(hole.first_open_ts),
                "last_missing": _minute(hole.last_open_ts),
            }
        )
        for hole in holes[:_HOLES_SHOWN]
    ]
    return dg.MetadataValue.table(records, schema=_HOLE_SCHEMA)


def utc(ts: int) -> str:
    """Write an instant in epoch milliseconds for a reader."""
    return f"{_minute(ts)} UTC"


def _minute(ts: int) -> str:
    return datetime.fromtimestamp(ts // 1000, UTC).strftime("%Y-%m-%d %H:%M")


def plot(stored: StoredDay) -> Facts:
    """Return a picture of the day's candles, its holes shaded; nothing if there are no candles."""
    candles = _drawn(stored)
    if not candles.num_rows:
        return {}
    picture = base64.b64encode(_svg(stored, candles).encode()).decode()
    label = f"{stored.symbol} {stored.day}"
    return {"plot": dg.MetadataValue.md(f"![{label}](data:image/svg+xml;base64,{picture})")}


def _drawn(stored: StoredDay) -> pa.Table:
    target = _PLOTTED.get(stored.timeframe)
    if target is None or not stored.table.num_rows:
        return stored.table
    folded = sf.rollup(stored.table, [target], holes=stored.holes, emit_incomplete=True)
    return folded[target]


def _svg(stored: StoredDay, candles: pa.Table) -> str:
    """Draw candlesticks: one path each for rising and falling, so that a day stays a few KB."""
    low, high = pc.min(candles["low"]).as_py(), pc.max(candles["high"]).as_py()
    scale = _Scale(stored.day, low, high)
    paths = {(_UP, 1): "", (_UP, 5): "", (_DOWN, 1): "", (_DOWN, 5): ""}
    for row in candles.select(["open_ts", "end_ts", "open", "high", "low", "close"]).to_pylist():
        color = _UP if row["close"] >= row["open"] else _DOWN
        x = scale.x((row["open_ts"] + row["end_ts"]) // 2)
        paths[color, 1] += f"M{x} {scale.y(row['high'])}V{scale.y(row['low'])}"
        # A body of no height would not be painted at all.
        ends = sorted((scale.y(row["open"]), scale.y(row["close"])))
        paths[color, 5] += f"M{x} {ends[0]}V{max(ends[1], ends[0] + 1)}"
    strokes = "".join(
        f'<path d="{path}" stroke="{color}" stroke-width="{width}" fill="none"/>'
        for (color, width), path in paths.items()
        if path
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'font-family="sans-serif" font-size="11" fill="#555">'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>'
        f"{_shades(stored.holes, scale)}{_axes(stored, scale)}{strokes}</svg>"
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    """From instants and prices to places in the picture."""

    day: date
    low: float
    high: float

    def x(self, ts: int) -> int:
        share = (ts - milliseconds(self.day)) / _DAY_MS
        return round(_LEFT + max(0.0, min(1.0, share)) * (_WIDTH - _LEFT - 8))

    def y(self, price: float) -> int:
        share = (price - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM))


def _shades(holes: Sequence[sf.Hole], scale: _Scale) -> str:
    return "".join(
        f'<rect x="{scale.x(hole.first_open_ts)}" y="{_TOP}" '
        f'width="{max(2, scale.x(hole.last_open_ts) - scale.x(hole.first_open_ts))}" '
        f'height="{_HEIGHT - _TOP - _BOTTOM}" fill="{_HOLE}" fill-opacity=".45"/>'
        for hole in holes[:_HOLES_SHOWN]
    )


def _axes(stored: StoredDay, scale: _Scale) -> str:
    base, bottom = _HEIGHT - _BOTTOM, _HEIGHT - 6
    hours = "".join(
        f'<text x="{scale.x(milliseconds(stored.day) + hour * _DAY_MS // 24)}" '
        f'y="{bottom}" text-anchor="{"end" if hour == 24 else "middle"}">{hour:02}:00</text>'
        for hour in range(0, 25, 6)
    )
    prices = "".join(
        f'<text x="{_LEFT - 10}" y="{scale.y(price) + 4}" text-anchor="end">{_price(price)}</text>'
        for price in dict.fromkeys((scale.low, scale.high))
    )
    drawn = _PLOTTED.get(stored.timeframe, stored.timeframe)
    missing = sum(hole.count for hole in stored.holes)
    shaded = f", {missing} missing candles shaded" if missing else ""
    title = f"{stored.symbol} {stored.day} UTC, drawn as {drawn}{shaded}"
    return (
        f'<text x="{_LEFT}" y="15" font-weight="bold">{title}</text>'
        f'<path d="M{_LEFT} {base}H{_WIDTH - 8}" stroke="#bbb"/>{hours}{prices}'
    )


def _price(price: float) -> str:
    return f"{price:,.8f}".rstrip("0").rstrip(".")
