"""What a venue's parts exchange with the rest: values that are compared, hashed and frozen."""

import dataclasses

import pytest

from streamforge_core.errors import RequestRefused
from streamforge_core.model.exchange import (
    Ack,
    ArchiveFile,
    Ignored,
    Instrument,
    Market,
    Notice,
    Refusal,
    Request,
    Subscription,
)

EXAMPLES = [
    Market("Binance", "SPOT", "spot", {"REST": "https://example.org"}, {"1M": "1M"}),
    Request("REST", "/api/v3/klines", (("symbol", "BTCUSDT"),), 2),
    ArchiveFile(Request("ARCHIVE", "/a.zip"), Request("ARCHIVE", "/a.zip.CHECKSUM"), 0, 86_400_000),
    Instrument("BTCUSDT", "BTC", "USDT", "TRADING", 0.01, 0.00001),
    Subscription("BTCUSDT", "1m"),
    Ack(1),
    Refusal(2, RequestRefused("Invalid symbol.", code=-1121)),
    Notice("shutdown", "Server is going away."),
    Ignored("24hrTicker"),
]


@pytest.mark.parametrize("value", EXAMPLES, ids=lambda value: type(value).__name__)
def test_every_part_is_a_frozen_value(value: object) -> None:
    name = dataclasses.fields(value)[0].name  # type: ignore[arg-type]  # all are dataclasses

    assert dataclasses.replace(value) == value  # type: ignore[type-var]  # likewise
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, None)


def test_a_request_costs_one_and_asks_nothing_unless_told() -> None:
    request = Request("REST", "/api/v3/time")

    assert (request.params, request.weight) == ((), 1)


def test_subscriptions_and_requests_serve_as_keys() -> None:
    assert {Subscription("A", "1m"), Subscription("A", "1m")} == {Subscription("A", "1m")}
    assert len({Request("REST", "/a"), Request("REST", "/a"), Request("REST", "/b")}) == 2


def test_an_archive_may_have_smaller_parts() -> None:
    day = ArchiveFile(Request("ARCHIVE", "/2024-01-01.zip"), None, 0, 1)
    month = ArchiveFile(Request("ARCHIVE", "/2024-01.zip"), None, 0, 31, parts=(day,))

    assert (day.parts, month.parts) == ((), (day,))


def test_an_instrument_may_not_tell_its_steps() -> None:
    instrument = Instrument("BTCUSDT", "BTC", "USDT", "BREAK")

    assert (instrument.price_step, instrument.amount_step) == (None, None)
