"""What to stream: `DataInput`, validated before any socket opens."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from streamforge_core.errors import ConfigError
from streamforge_core.model.timeframe import check_tiles, check_timeframe

CANDLE_TYPES: Final = ("kline", "klines", "candle", "candles", "ohlc", "ohlcv")
"""Names of the one data type; every venue accepts all of them."""

DEFAULT_MARKET: Final = "DEFAULT"


@dataclass(frozen=True)
class DataInput:
    """A subscription: candles of one base timeframe for some symbols, and what to derive from them.

    Attributes:
        type: "kline", "candle" or "ohlc": the venues' names for the same thing.
        symbols: As the exchange writes them: "BTCUSDT", "BTC-USDT", "BTC/USD".
        timeframe: Base timeframe, subscribed to.
        market_type: "DEFAULT" is the venue's spot market.
        aggregate_list: Higher timeframes, folded from the base; their order has no meaning.

    Raises:
        ConfigError: On construction, if one of them cannot be.
    """

    type: str
    symbols: list[str]
    timeframe: str
    market_type: str = DEFAULT_MARKET
    aggregate_list: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_type(self.type)
        object.__setattr__(self, "symbols", _texts("symbols", self.symbols, "BTCUSDT"))
        if not self.symbols:
            raise ConfigError('symbols is empty. Name at least one, such as symbols=["BTCUSDT"].')
        _texts("timeframe", [self.timeframe], "1m")
        check_timeframe(self.timeframe)
        targets = _texts("aggregate_list", self.aggregate_list or (), "5m")
        check_tiles(self.timeframe, targets)
        object.__setattr__(self, "aggregate_list", targets)


def check_type(name: str) -> None:
    """Refuse a data type that is not candles.

    Raises:
        ConfigError: Naming the accepted ones.
    """
    if name not in CANDLE_TYPES:
        raise ConfigError(
            f"type={name!r} is not streamed here. Use one of {', '.join(CANDLE_TYPES)}."
        )


def _texts(name: str, values: Iterable[Any], example: str) -> list[str]:
    """Copy a list of texts, each once; a lone string would be read letter by letter."""
    if isinstance(values, str):
        raise ConfigError(f"{name}={values!r} is one text, not a list. Write {name}=[{values!r}].")
    try:
        texts = list(dict.fromkeys(values))
    except TypeError:
        raise ConfigError(
            f'{name}={values!r} is not a list of texts such as ["{example}"].'
        ) from None
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise ConfigError(f'{name} holds {text!r}; every entry is a text such as "{example}".')
    return texts
