"""From names in settings to the classes that serve them."""

from pathlib import Path

import pytest

from streamforge_core.emitters.csv_file import CSVEmitter
from streamforge_core.errors import ConfigError
from streamforge_core.model.settings import EmitterSettings
from streamforge_core.runners.backfill_bindings import BinanceBackfilling
from streamforge_core.runners.bindings import BinanceRunner
from streamforge_core.runners.venues import backfilling_for, make_emitter, runner_for


def test_a_source_finds_its_backfiller_with_the_market_bound() -> None:
    backfiller = backfilling_for("Binance")("BTCUSDT", "1m", "2024-01-15")

    assert type(backfiller) is BinanceBackfilling
    assert backfiller.market.name == "SPOT"


def test_a_source_finds_its_runner() -> None:
    assert type(runner_for("Binance")()) is BinanceRunner


@pytest.mark.parametrize("source", ["Kraken", "binance", ""])
def test_a_source_that_is_not_served_is_refused_with_those_that_are(source: str) -> None:
    with pytest.raises(ConfigError, match="Served: Binance"):
        runner_for(source)
    with pytest.raises(ConfigError, match="Served: Binance"):
        backfilling_for(source)


def test_an_emitter_is_made_of_its_settings_and_carries_its_name(tmp_path: Path) -> None:
    settings = EmitterSettings(
        name="candles", type="csv", options={"file_path": str(tmp_path / "a.csv")}
    )

    emitter = make_emitter(settings)

    assert isinstance(emitter, CSVEmitter)
    assert (emitter.name, emitter.file_path) == ("candles", tmp_path / "a.csv")


def test_an_unknown_type_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="Known: csv, logger, parquet"):
        make_emitter(EmitterSettings(name="x", type="carrier-pigeon", options={}))


def test_an_unknown_option_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'candles': .*'paht'.* Known: source, symbol"):
        make_emitter(EmitterSettings(name="candles", type="csv", options={"paht": "a.csv"}))
