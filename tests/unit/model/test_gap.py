"""Holes, their verdicts, and what counts as proven."""

from collections.abc import Mapping

import pytest

from streamforge_core.model.gap import Evidence, Hole, Verdict, final_spans

EVERY_VERDICT: tuple[Verdict, ...] = (
    "pending", "our_loss", "late", "no_trades", "exchange_outage",
)  # fmt: skip  # one line of names


def test_a_hole_is_pending_until_proven() -> None:
    hole = Hole(0, 60_000, 2)

    assert hole.verdict == "pending"
    assert hole.decided_at is None
    assert not hole.is_final()
    assert not hole.is_explained()


@pytest.mark.parametrize("verdict", EVERY_VERDICT)
def test_only_verdicts_that_nothing_exists_are_final(verdict: Verdict) -> None:
    says_empty = verdict in {"no_trades", "exchange_outage"}

    assert Hole(0, 0, 1, verdict).is_final() is says_empty
    assert Hole(0, 0, 1, verdict).is_explained() is says_empty


def test_a_provisional_verdict_explains_and_does_not_prove() -> None:
    hole = Hole(0, 0, 1, "exchange_outage", provisional=True)

    assert hole.is_explained()
    assert not hole.is_final()


def test_attributes_are_read_as_from_a_row() -> None:
    hole = Hole(0, 60_000, 2, evidence=(Evidence("rest", 7, "0 rows"),))

    assert (hole["count"], hole["verdict"]) == (2, "pending")
    assert hole["evidence"] == (Evidence("rest", 7, "0 rows"),)


def test_a_mapping_with_the_same_names_is_a_hole() -> None:
    row = {"first_open_ts": 0, "last_open_ts": 60_000, "verdict": "no_trades", "symbol": "X"}

    assert Hole.of(row) == Hole(0, 60_000, 0, "no_trades")
    assert Hole.of(row | {"count": 2, "decided_at": 9}).decided_at == 9


def test_a_hole_is_taken_as_it_is() -> None:
    hole = Hole(0, 0, 1)

    assert Hole.of(hole) is hole


def test_proven_spans_are_sorted_and_the_rest_is_left_out() -> None:
    holes: list[Hole | Mapping[str, object]] = [
        Hole(600_000, 660_000, 2, "no_trades"),
        Hole(300_000, 300_000, 1),
        {"first_open_ts": 0, "last_open_ts": 60_000, "verdict": "exchange_outage"},
        Hole(120_000, 120_000, 1, "exchange_outage", provisional=True),
    ]

    assert final_spans(holes) == [(0, 60_000), (600_000, 660_000)]
