import pytest

from streamforge_core.simulator.binance_limits import WeightBudget
from streamforge_core.simulator.binance_rest import Refusal
from tests.support.simulated import at

NOON = at("2024-01-10T12:00")


def refusal_of(budget: WeightBudget, now_ms: int, weight: int = 2) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        budget.charge(weight, now_ms)
    return refusal.value


def test_weight_adds_up_within_a_minute_and_starts_anew_in_the_next() -> None:
    budget = WeightBudget(limit=10)

    budget.charge(2, NOON)
    budget.charge(8, NOON + 59_999)
    assert budget.used == 10
    budget.charge(2, NOON + 60_000)
    assert budget.used == 2


def test_beyond_the_budget_the_answer_is_429_until_the_minute_is_over() -> None:
    budget = WeightBudget(limit=10)
    budget.charge(10, NOON)

    refusal = refusal_of(budget, NOON + 17_500)

    assert (refusal.status, refusal.code) == (429, -1003)
    assert refusal.headers == {"Retry-After": "43"}
    assert refusal.text == (
        "Too much request weight used; current limit is 10 request weight per 1 MINUTE. "
        "Please use WebSocket Streams for live updates to avoid polling the API."
    )
    budget.charge(2, NOON + 60_000)


def test_who_goes_on_asking_is_banned_for_longer_each_time() -> None:
    budget = WeightBudget(limit=10)
    budget.charge(10, NOON)

    statuses = [refusal_of(budget, NOON).status for _ in range(11)]

    assert statuses == [429] * 10 + [418]
    refusal = refusal_of(budget, NOON + 61_000)
    assert (refusal.status, refusal.code) == (418, -1003)
    assert refusal.headers == {"Retry-After": "59"}
    until = NOON + 120_000
    assert f"IP banned until {until}" in refusal.text
    budget.charge(10, until)
    for _ in range(11):
        refusal = refusal_of(budget, until)
    assert refusal.headers == {"Retry-After": "240"}
