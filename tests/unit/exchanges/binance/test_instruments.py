import json

import pytest

from streamforge_core.errors import ConfigError, MalformedMessage
from streamforge_core.exchanges.binance.instruments import BinanceInstruments
from streamforge_core.model.exchange import Instrument, Request
from tests.support.recordings import recorded, recorded_json


def test_the_whole_listing_is_asked_for_without_parameters() -> None:
    assert BinanceInstruments().listing() == Request("REST", "/api/v3/exchangeInfo", (), weight=20)


def test_named_symbols_are_asked_for_as_one_json_list() -> None:
    request = BinanceInstruments().listing(["BTCUSDT", "ETHUSDT"])

    assert request.params == (("symbols", '["BTCUSDT","ETHUSDT"]'),)


def test_a_symbol_of_another_form_is_refused_before_it_is_asked_for() -> None:
    with pytest.raises(ConfigError, match="Write 'BTCUSDT'"):
        BinanceInstruments().listing(["BTC-USDT"])


def test_the_documented_listing_gives_its_symbol_with_its_steps() -> None:
    listed = BinanceInstruments().parse_listing(recorded("binance", "rest_exchangeinfo"))

    assert listed == [
        Instrument("BTCUSDT", "BTC", "USDT", "TRADING", price_step=0.01, amount_step=0.00001)
    ]


def test_a_step_that_is_off_or_absent_is_unknown() -> None:
    body = recorded_json("binance", "rest_exchangeinfo")
    body["symbols"][0]["filters"] = [{"filterType": "PRICE_FILTER", "tickSize": "0.00000000"}]

    (instrument,) = BinanceInstruments().parse_listing(json.dumps(body).encode())

    assert (instrument.price_step, instrument.amount_step) == (None, None)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"code":-1121,"msg":"Invalid symbol."}', b"<html>", b"\xff"]
)
def test_another_answer_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedMessage, match="Binance exchangeInfo"):
        BinanceInstruments().parse_listing(body)
