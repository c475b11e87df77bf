"""Which of two versions of a candle stays: the rule by example, then against a naive reading."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamforge_core.model.columns import RECORD_SCHEMA, records_to_table, table_to_records
from streamforge_core.model.kline import Provenance, Record
from streamforge_core.model.merge import merge

MINUTE = 60_000


def version(
    open_ts: int = 0,
    *,
    close: float = 2.0,
    volume: float = 1.0,
    n_trades: int | None = 3,
    is_closed: bool = True,
    is_complete: bool = True,
    provenance: Provenance = "rest",
    seen_ts: int = 10,
    revision: int = 0,
) -> Record:
    return Record(
        "Binance", "BTCUSDT", "1m", open_ts, open_ts + 59_999, 2.0, 3.0, 1.0, close, volume,
        quote_volume=None, vwap=None, n_trades=n_trades, is_closed=is_closed,
        provenance=provenance, revision=revision, is_complete=is_complete, seen_ts=seen_ts,
    )  # fmt: skip  # the fourteen fields in a row


def table(*records: Record) -> pa.Table:
    return records_to_table(records)


def merged(stored: list[Record], incoming: list[Record]) -> list[Record] | None:
    result = merge(table(*stored), table(*incoming))
    return None if result is None else list(table_to_records(result))


# --- By example ---


def test_new_candles_are_added_in_the_order_of_their_opens() -> None:
    stored = [version(MINUTE)]

    assert merged(stored, [version(2 * MINUTE), version(0)]) == [
        version(0),
        version(MINUTE),
        version(2 * MINUTE),
    ]


def test_nothing_new_is_none() -> None:
    assert merged([version()], []) is None
    assert merged([], []) is None
    assert merged([version()], [version()]) is None


def test_equal_values_keep_where_and_when_they_were_first_read() -> None:
    again = version(provenance="archive", seen_ts=99, revision=7)

    assert merged([version()], [again]) is None


def test_a_correction_of_a_closed_candle_raises_its_revision() -> None:
    corrected = version(close=2.5, seen_ts=20, provenance="archive")

    assert merged([version()], [corrected]) == [
        version(close=2.5, seen_ts=20, provenance="archive", revision=1)
    ]


def test_updates_of_a_forming_candle_are_no_revisions() -> None:
    forming = version(is_closed=False)

    assert merged([forming], [version(close=2.5, is_closed=False, seen_ts=20)]) == [
        version(close=2.5, is_closed=False, seen_ts=20)
    ]
    assert merged([forming], [version(close=2.5, seen_ts=20)]) == [version(close=2.5, seen_ts=20)]


def test_a_higher_revision_of_the_source_is_kept() -> None:
    corrected = version(close=2.5, seen_ts=20, revision=5)

    assert merged([version()], [corrected]) == [corrected]


def test_what_was_seen_later_wins_whatever_comes_first() -> None:
    older, newer = version(close=2.1, seen_ts=10), version(close=2.9, seen_ts=20)

    assert merged([older], [newer]) == [version(close=2.9, seen_ts=20, revision=1)]
    assert merged([newer], [older]) is None


def test_of_two_seen_at_once_the_incoming_one_wins() -> None:
    assert merged([version()], [version(close=2.5)]) == [version(close=2.5, revision=1)]


def test_an_open_candle_never_replaces_a_closed_one() -> None:
    assert merged([version()], [version(close=2.5, is_closed=False, seen_ts=99)]) is None


def test_a_closed_candle_replaces_an_open_one_seen_later() -> None:
    forming = version(close=2.5, is_closed=False, seen_ts=99)

    assert merged([forming], [version()]) == [version()]


def test_a_filled_candle_never_replaces_another_one() -> None:
    filled = version(close=1.5, provenance="filled", seen_ts=99)

    assert merged([version(is_closed=False)], [filled]) is None
    assert merged([filled], [version(is_closed=False)]) == [version(is_closed=False, revision=1)]


def test_a_real_candle_replaces_a_filled_one_of_equal_values() -> None:
    assert merged([version(provenance="filled")], [version(provenance="rest")]) == [
        version(provenance="rest", revision=1)
    ]


def test_unknown_never_erases_known_while_the_volume_is_equal() -> None:
    unknown = version(close=2.5, n_trades=None, seen_ts=20)

    assert merged([version()], [version(n_trades=None, seen_ts=20)]) is None
    assert merged([version()], [unknown]) == [
        version(close=2.5, n_trades=3, seen_ts=20, revision=1)
    ]


def test_what_was_known_of_another_volume_is_no_longer_true() -> None:
    unknown = version(volume=9.0, n_trades=None, seen_ts=20)

    assert merged([version()], [unknown]) == [
        version(volume=9.0, n_trades=None, seen_ts=20, revision=1)
    ]


def test_known_replaces_unknown() -> None:
    assert merged([version(n_trades=None)], [version(n_trades=3)]) == [
        version(n_trades=3, revision=1)
    ]


def test_known_survives_several_unknown_versions() -> None:
    incoming = [
        version(close=2.5, n_trades=None, seen_ts=20),
        version(close=2.6, n_trades=None, seen_ts=30),
    ]

    assert merged([version()], incoming) == [version(close=2.6, n_trades=3, seen_ts=30, revision=2)]


def test_completing_an_aggregate_is_a_change() -> None:
    partial = version(is_complete=False, is_closed=False)

    assert merged([partial], [version()]) == [version()]


def test_versions_of_one_candle_take_their_turns_in_the_order_they_came() -> None:
    first, second = version(close=2.1), version(close=2.2)

    assert merged([], [first, second]) == [version(close=2.2, revision=1)]
    assert merged([], [second, first]) == [version(close=2.1, revision=1)]
    assert merged([], [first, version(MINUTE), second, first]) == [
        version(close=2.1, revision=2),
        version(MINUTE),
    ]


def test_the_schema_stays() -> None:
    result = merge(table(version()), table(version(close=2.5)))

    assert result is not None
    assert result.schema.equals(RECORD_SCHEMA)


@pytest.mark.parametrize(
    ("before", "after"), [(["a"], ["b"]), ([1.5], [2.5]), ([None], ["b"]), (["a"], [None])]
)
def test_a_column_of_the_users_own_counts_as_a_value(
    before: list[object], after: list[object]
) -> None:
    stored = table(version()).append_column("note", pa.array(before))
    incoming = table(version(seen_ts=20)).append_column("note", pa.array(after))

    result = merge(stored, incoming)

    assert merge(stored, stored) is None
    assert result is not None
    assert result.column("note").to_pylist() == after
    assert result.column("revision").to_pylist() == [1]


# --- Against a naive reading of the rule ---

VERSIONS = st.builds(
    version,
    st.sampled_from([0, MINUTE]),
    close=st.sampled_from([2.0, 2.5]),
    volume=st.sampled_from([1.0, 9.0]),
    n_trades=st.sampled_from([None, 3]),
    is_closed=st.booleans(),
    is_complete=st.booleans(),
    provenance=st.sampled_from(["rest", "archive", "filled"]),
    seen_ts=st.integers(10, 12),
    revision=st.integers(0, 1),
)
UNKNOWABLE = ("quote_volume", "vwap", "n_trades")


def _rank(record: Record) -> tuple[bool, bool, int]:
    return (record.provenance != "filled", record.is_closed, record.seen_ts)


def _values(record: Record) -> tuple[object, ...]:
    return (
        record.close, record.volume, record.n_trades, record.is_closed, record.is_complete,
        record.provenance == "filled",
    )  # fmt: skip  # what the strategy varies


def _one_after_the_other(stored: list[Record], incoming: list[Record]) -> list[Record]:
    held = {record.open_ts: record for record in stored}
    for record in incoming:
        before = held.get(record.open_ts)
        if before is None:
            held[record.open_ts] = record
            continue
        known = Record(**{name: getattr(record, name) for name in Record.__struct_fields__})
        if known.volume == before.volume and known.n_trades is None:
            known.n_trades = before.n_trades
        if _values(known) == _values(before) or _rank(known) < _rank(before):
            continue
        known.revision = max(known.revision, before.revision + before.is_closed)
        held[record.open_ts] = known
    return [held[open_ts] for open_ts in sorted(held)]


@given(st.lists(VERSIONS, max_size=2, unique_by=lambda v: v.open_ts), st.lists(VERSIONS))
def test_a_batch_is_merged_as_if_its_rows_came_one_after_the_other(
    stored: list[Record], incoming: list[Record]
) -> None:
    expected = _one_after_the_other(stored, incoming)

    result = merged(stored, incoming)

    in_order = sorted(stored, key=lambda record: record.open_ts)
    assert (in_order if result is None else result) == expected


@given(st.lists(VERSIONS), st.lists(VERSIONS))
def test_two_batches_are_merged_like_one(first: list[Record], second: list[Record]) -> None:
    between = merged([], first) or []

    assert (merged(between, second) or between) == (merged([], [*first, *second]) or [])


@given(st.lists(VERSIONS, min_size=1, unique_by=lambda v: v.open_ts))
def test_the_same_batch_again_changes_nothing(batch: list[Record]) -> None:
    stored = merged([], batch)

    assert stored is not None
    assert merged(stored, batch) is None
