from streamforge_core.pipeline.transformer import Row, chain, keep, rename


def doubled(row: Row) -> Row:
    return {**row, "volume": row["volume"] * 2}


def only_large(row: Row) -> Row | None:
    return row if row["volume"] > 5 else None


def test_rename_changes_names_and_keeps_values_and_order() -> None:
    row = rename({"open_ts": "t", "absent": "x"})({"open_ts": 1, "close": 2.0})

    assert list(row.items()) == [("t", 1), ("close", 2.0)] if row else False


def test_keep_takes_the_named_fields_in_the_given_order() -> None:
    row = keep("close", "open_ts")({"open_ts": 1, "close": 2.0, "volume": 3.0})

    assert list(row.items()) == [("close", 2.0), ("open_ts", 1)] if row else False


def test_a_chain_applies_one_after_the_other() -> None:
    assert chain(doubled, only_large)({"volume": 3}) == {"volume": 6}
    assert chain(only_large, doubled)({"volume": 6}) == {"volume": 12}


def test_a_row_dropped_by_the_first_never_reaches_the_second() -> None:
    assert chain(only_large, doubled)({"volume": 3}) is None


def test_a_chain_that_begins_with_nothing_is_its_second_part() -> None:
    assert chain(None, doubled) is doubled
