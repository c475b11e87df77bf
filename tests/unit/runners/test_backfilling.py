"""What a caller of a backfiller can ask for; the work itself is a run's."""

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import pytest

from streamforge_core.errors import ConfigError
from streamforge_core.model.date_range import Moment
from streamforge_core.pipeline.transformer import Row, rename
from streamforge_core.runners.backfill_bindings import BinanceBackfilling
from streamforge_core.runners.endpoints import CLOCK_VARIABLE
from streamforge_core.runners.progress import Progress
from streamforge_core.simulator.binance import SimulatedBinance
from tests.support.backfills import a_backfiller
from tests.support.instants import utc
from tests.support.recording_emitter import RecordingEmitter
from tests.support.simulated import NEVER_DOWN, simulated_binance

TEN_MINUTES = ("2024-01-15 10:00", "2024-01-15 10:10")


@pytest.fixture(scope="module")
def exchange() -> Iterator[SimulatedBinance]:
    with simulated_binance("2024-03-01T00:00", outages=NEVER_DOWN) as simulated:
        yield simulated


# --- Default file names ---


@pytest.mark.parametrize(
    ("start", "end", "name"),
    [
        ("2024-01-15", "2024-01-20", "Binance-BTCUSDT-spot-1m-2024-01-15_2024-01-20.csv"),
        ("2024-01-15", "now", "Binance-BTCUSDT-spot-1m-2024-01-15_now.csv"),
        ("2024-01-15", None, "Binance-BTCUSDT-spot-1m-2024-01-15_now.csv"),
        (date(2024, 1, 15), date(2024, 1, 16), "Binance-BTCUSDT-spot-1m-2024-01-15_2024-01-16.csv"),
        (
            "2024-01-15 10:30:00",
            datetime(2024, 1, 15, 11, 0),  # noqa: DTZ001 - naive is UTC here
            "Binance-BTCUSDT-spot-1m-2024-01-15T103000_2024-01-15T110000.csv",
        ),
    ],
)
def test_the_default_file_is_named_after_series_and_range(
    start: Moment, end: Moment | None, name: str
) -> None:
    assert BinanceBackfilling("BTCUSDT", "1m", start, end).default_file() == Path(name)


def test_a_file_path_always_wins() -> None:
    backfiller = BinanceBackfilling("BTCUSDT", "1m", "2024-01-15", file_path="mine.csv")

    assert backfiller.default_file() == Path("mine.csv")


# --- What cannot be ---


def test_a_data_type_that_is_not_candles_is_refused() -> None:
    with pytest.raises(ConfigError, match="trades"):
        BinanceBackfilling("BTCUSDT", "1m", "2024-01-15", data_type="trades")


@pytest.mark.parametrize("name", ["klines", "ohlcv"])
def test_every_name_for_candles_is_accepted(name: str) -> None:
    assert BinanceBackfilling("BTCUSDT", "1m", "2024-01-15", data_type=name).series.symbol


async def test_run_inside_a_running_loop_explains_arun(exchange: SimulatedBinance) -> None:
    with pytest.raises(ConfigError, match=r"await backfiller\.arun\(\)"):
        a_backfiller(exchange, *TEN_MINUTES).run()


# --- What a run is given ---


def test_every_setter_returns_the_backfiller() -> None:
    backfiller = BinanceBackfilling("BTCUSDT", "1m", "2024-01-15")

    assert backfiller.register_emitter(RecordingEmitter()) is backfiller
    assert backfiller.set_transformer(lambda row: row) is backfiller


def test_model_and_map_reach_the_emitter(exchange: SimulatedBinance) -> None:
    class Modelled(RecordingEmitter):
        model: object = None

        def set_model(self, model: object, *, inplace: bool = True) -> "Modelled":
            del inplace
            self.model = model
            return self

    emitter = Modelled()
    backfiller = a_backfiller(exchange, *TEN_MINUTES)
    backfiller.register_emitter(emitter, model=dict, map_object={"close": "last"}).run()

    assert emitter.model is dict
    assert "last" in emitter.klines[0].model_dump()


def test_transformers_apply_in_turn_and_before_the_emitters_own(
    exchange: SimulatedBinance,
) -> None:
    def on_even_minutes(row: Row) -> Row | None:
        return row if row["open_ts"] % 120_000 == 0 else None

    emitter = RecordingEmitter().set_transformer(rename({"tag": "label"}))
    backfiller = a_backfiller(exchange, *TEN_MINUTES, transformer=on_even_minutes)
    backfiller.set_transformer(lambda row: {**row, "tag": "mine"}).register_emitter(emitter).run()

    first = utc("2024-01-15 10:00")
    assert emitter.opens() == [first + minute * 60_000 for minute in (0, 2, 4, 6, 8)]
    assert emitter.klines[0].model_dump()["label"] == "mine"


def test_an_emitter_keeps_its_own_transformer_after_the_run(exchange: SimulatedBinance) -> None:
    emitter = RecordingEmitter()
    a_backfiller(exchange, *TEN_MINUTES, transformer=lambda _: None).register_emitter(emitter).run()

    a_backfiller(exchange, *TEN_MINUTES).register_emitter(emitter).run()

    assert len(emitter.klines) == 10


def test_progress_is_told(exchange: SimulatedBinance) -> None:
    told: list[Progress] = []
    backfiller = a_backfiller(exchange, *TEN_MINUTES, progress=told.append)

    backfiller.register_emitter(RecordingEmitter()).run()

    assert told == [Progress(10, 10)]


def test_a_stop_before_a_run_says_nothing_about_that_run(exchange: SimulatedBinance) -> None:
    emitter = RecordingEmitter()
    backfiller = a_backfiller(exchange, *TEN_MINUTES).register_emitter(emitter)

    backfiller.stop()
    backfiller.run()

    assert len(emitter.klines) == 10


def test_endpoints_and_clock_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with SimulatedBinance(outages=NEVER_DOWN) as simulated:
        for name, value in simulated.environment().items():
            monkeypatch.setenv(name, value)
        emitter = RecordingEmitter()

        BinanceBackfilling("BTCUSDT", "1m", *TEN_MINUTES).register_emitter(emitter).run()

    assert len(emitter.klines) == 10


def test_a_clock_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CLOCK_VARIABLE, "noon")

    with pytest.raises(ConfigError, match="not a clock"):
        BinanceBackfilling("BTCUSDT", "1m", "2024-01-15")


# --- stream ---


def test_stream_yields_lists_of_klines_without_any_emitter(exchange: SimulatedBinance) -> None:
    batches = list(a_backfiller(exchange, *TEN_MINUTES).stream(batch_size=4))

    assert [len(batch) for batch in batches] == [4, 4, 2]
    opens = [kline.open_ts for batch in batches for kline in batch]
    first = utc("2024-01-15 10:00")
    assert opens == list(range(first, first + 600_000, 60_000))
    assert {kline.is_closed for batch in batches for kline in batch} == {True}


def test_a_stream_may_be_left_early(exchange: SimulatedBinance) -> None:
    stream = a_backfiller(exchange, "2024-01-15", "2024-01-20").stream()

    assert len(next(iter(stream))) == 1_000
