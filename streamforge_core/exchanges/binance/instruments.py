"""Binance's listing: which symbols exist, in which steps they trade."""

from collections.abc import Sequence

import msgspec

from streamforge_core.errors import MalformedMessage
from streamforge_core.exchanges.binance.constants import EXCHANGE_INFO_WEIGHT, SPOT, check_symbol
from streamforge_core.exchanges.binance.messages import EXCHANGE_INFO, Symbol
from streamforge_core.model.exchange import Instrument, Market, Request


class BinanceInstruments:
    """The listing of one Binance market.

    Source: binance-spot-api-docs, rest-api.md, "Exchange information" and filters.md, read 2026-07.
    """

    def __init__(self, market: Market = SPOT) -> None:
        self.market = market

    def listing(self, symbols: Sequence[str] = ()) -> Request:
        """Ask for the named symbols, or all; one wrong name fails the whole request.

        Raises:
            ConfigError: A symbol is not of Binance's form.
        """
        names = [check_symbol(symbol) for symbol in symbols]
        params = (("symbols", msgspec.json.encode(names).decode()),) if names else ()
        return Request("REST", "/api/v3/exchangeInfo", params, weight=EXCHANGE_INFO_WEIGHT)

    def parse_listing(self, body: bytes) -> list[Instrument]:
        """Return the listed symbols, in the answer's order.

        Raises:
            MalformedMessage: It is not what Binance documents.
        """
        try:
            listed = EXCHANGE_INFO.decode(body).symbols
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise MalformedMessage(f"{self.market.source} exchangeInfo: {error}") from error
        return [_instrument(symbol) for symbol in listed]


def _instrument(symbol: Symbol) -> Instrument:
    rules = {rule.filterType: rule for rule in symbol.filters}
    price, amount = rules.get("PRICE_FILTER"), rules.get("LOT_SIZE")
    return Instrument(
        symbol=symbol.symbol,
        base=symbol.baseAsset,
        quote=symbol.quoteAsset,
        status=symbol.status,
        price_step=(price.tickSize if price else 0.0) or None,
        amount_step=(amount.stepSize if amount else 0.0) or None,
    )
