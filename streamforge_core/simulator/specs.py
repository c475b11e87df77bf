"""What trades on the simulated exchange: its symbols and their habits."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from streamforge_core.errors import ConfigError
from streamforge_core.simulator.boundaries import DAY_MS, instant
from streamforge_core.simulator.noise import hashed, key_of

_QUOTES: Final = ("FDUSD", "USDT", "USDC", "TUSD", "BUSD", "BTC", "ETH", "BNB", "EUR", "TRY")
_SYMBOL: Final = re.compile(r"[A-Z0-9]{5,20}")


@dataclass(frozen=True, slots=True)
class SymbolSpec:
    """A symbol and how it trades.

    Attributes:
        symbol: As the exchange writes it.
        base: Asset that is traded.
        quote: Asset it is priced in.
        price_decimals: Decimals of a price; one tick is the last of them.
        quantity_decimals: Decimals of a quantity; one step is the last of them.
        base_price: Ticks around which the price wanders, between a third and five thirds of it.
        mean_quantity: Steps of a usual trade.
        listed_ms: First instant of trading, a whole minute; a trade happens there.
        trades_per_minute: Of a minute that has trades, on average; at most 31.
        quiet_share: Share of minutes without a trade, alone or up to four and more in a row.
        ended_ms: First instant after trading, None while it goes on.
    """

    symbol: str
    base: str
    quote: str
    price_decimals: int
    quantity_decimals: int
    base_price: int
    mean_quantity: int
    listed_ms: int
    trades_per_minute: int = 4
    quiet_share: float = 0.0
    ended_ms: int | None = None


DEFAULT_SPECS: Final = (
    SymbolSpec("BTCUSDT", "BTC", "USDT", 2, 5, 4_300_000, 2_000, instant("2017-08-17T04:00"), 6),
    SymbolSpec("ETHUSDT", "ETH", "USDT", 2, 4, 250_000, 4_000, instant("2017-08-17T04:00"), 5),
    SymbolSpec("SOLUSDT", "SOL", "USDT", 2, 3, 9_500, 9_000, instant("2020-08-11T06:00"), 4),
    SymbolSpec("ADABTC", "ADA", "BTC", 8, 1, 1_380, 6_000, instant("2017-11-30T06:00"), 3, 0.083),
    SymbolSpec("NEWUSDT", "NEW", "USDT", 4, 1, 12_500, 8_000, instant("2024-06-15T10:30"), 4),
    SymbolSpec(
        "DELISTUSDT",
        *("DELIST", "USDT", 4, 1, 3_100, 20_000),
        listed_ms=instant("2021-03-01T08:00"),
        trades_per_minute=3,
        ended_ms=instant("2024-03-10T03:00"),
    ),
)
"""Three busy symbols, a thin one, one listed 2024-06-15 10:30 and one gone 2024-03-10 03:00."""


def specs_of(extra_symbols: Iterable[str] = ()) -> tuple[SymbolSpec, ...]:
    """Return the default symbols and further ones by name.

    Raises:
        ConfigError: A name is no symbol.
    """
    known = {spec.symbol: spec for spec in DEFAULT_SPECS}
    for symbol in extra_symbols:
        known.setdefault(symbol, spec_of(symbol))
    return tuple(known.values())


def spec_of(symbol: str) -> SymbolSpec:
    """Return a spec for any symbol, a pure function of its name.

    Raises:
        ConfigError: The name is no symbol.
    """
    if not _SYMBOL.fullmatch(symbol):
        raise ConfigError(f"{symbol!r} is not a symbol. Write it as BTCUSDT.")
    base, quote = split_symbol(symbol)
    key = key_of("spec", symbol)
    price_decimals = 2 + hashed(key, 0) % 4
    mondays = hashed(key, 1) % 150
    return SymbolSpec(
        *(symbol, base, quote, price_decimals, 1 + hashed(key, 2) % 3),
        base_price=2_000 + hashed(key, 3) % 500_000,
        mean_quantity=500 + hashed(key, 4) % 20_000,
        # A Monday: a listing inside the weekly outage would have no first trade.
        listed_ms=instant("2018-01-01T08:00") + mondays * 7 * DAY_MS,
        trades_per_minute=2 + hashed(key, 5) % 4,
    )


def split_symbol(symbol: str) -> tuple[str, str]:
    """Return base and quote of a symbol by the longest known quote, else at its last four."""
    for quote in _QUOTES:
        if symbol.endswith(quote) and len(symbol) > len(quote):
            return symbol.removesuffix(quote), quote
    return symbol[:-4], symbol[-4:]
