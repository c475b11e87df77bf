"""What streamforge.yaml may declare, and how each mistake is answered: key, line, remedy."""

from datetime import date
from pathlib import Path

import pytest

from streamforge_core.errors import InvalidSettings
from streamforge_core.model.settings import (
    EmitterSettings,
    Settings,
    SourceSettings,
    StreamSettings,
    parse_settings,
)

DOCUMENTED = """\
store: data
sources:
  - source: Binance
    symbols: [BTCUSDT, ETHUSDT, ADABTC]
    timeframe: 1m
    rollups: [5m, 15m, 1h, 4h, 1d]
    start: 2024-01-01
emitters:
  - type: csv
    name: btc_csv
    file_path: data/btc.csv
streams:
  - name: binance-spot
    source: Binance
    symbols: [BTCUSDT, ETHUSDT]
    timeframe: 1m
    aggregate_list: [5m, 1h]
    active_warmup: true
    emitters: [store, btc_csv]
"""

SOURCE = """\
sources:
  - source: Binance
    symbols: [BTCUSDT]
    timeframe: 1m
    start: 2024-01-01
"""
STREAM = """\
streams:
  - name: spot
    source: Binance
    symbols: [BTCUSDT]
    timeframe: 1m
"""


def parsed(text: str, **environment: str) -> Settings:
    return parse_settings(text, environment)


def refusal(text: str, **environment: str) -> InvalidSettings:
    with pytest.raises(InvalidSettings) as error:
        parse_settings(text, environment)
    return error.value


def test_the_documented_file_means_what_it_says() -> None:
    assert parsed(DOCUMENTED) == Settings(
        store=Path("data"),
        sources=(
            SourceSettings(
                source="Binance",
                symbols=("BTCUSDT", "ETHUSDT", "ADABTC"),
                timeframe="1m",
                start=date(2024, 1, 1),
                rollups=("5m", "15m", "1h", "4h", "1d"),
            ),
        ),
        emitters=(EmitterSettings("csv", "btc_csv", {"file_path": Path("data/btc.csv")}),),
        streams=(
            StreamSettings(
                name="binance-spot",
                source="Binance",
                symbols=("BTCUSDT", "ETHUSDT"),
                timeframe="1m",
                aggregate_list=("5m", "1h"),
                active_warmup=True,
                emitters=("store", "btc_csv"),
            ),
        ),
    )


def test_what_is_not_declared_has_a_quiet_default() -> None:
    settings = parsed(SOURCE + STREAM)

    assert settings.store == Path("data")
    assert settings.emitters == ()
    assert settings.sources[0].rollups == ()
    stream = settings.streams[0]
    assert (stream.active_warmup, stream.emit_warmup) == (False, False)
    assert (stream.aggregate_list, stream.emitters) == ((), ("store",))


def test_parts_whose_entries_are_commented_out_are_empty() -> None:
    assert parsed("sources:\nemitters:\nstreams:\n") == Settings()


def test_every_key_of_a_stream_is_read() -> None:
    stream = parsed(STREAM + "    emit_warmup: true\n    active_warmup: false\n").streams[0]

    assert (stream.active_warmup, stream.emit_warmup) == (False, True)


@pytest.mark.parametrize(
    "source",
    [
        "Binance", "Binance-USDM", "Binance-COINM", "Kraken",
        "OKX", "Bybit", "Bybit-linear", "Bybit-inverse",
    ],
)  # fmt: skip  # the markets, venue by venue
def test_every_market_is_a_known_source(source: str) -> None:
    assert parsed(SOURCE.replace("Binance", source)).sources[0].source == source


def test_an_unknown_source_is_refused_with_the_closest_one() -> None:
    error = refusal(SOURCE.replace("Binance", "binance-usd-m"))

    assert (error.key, error.line) == ("sources[0].source", 2)
    assert str(error) == (
        "streamforge.yaml, line 2: sources[0].source is 'binance-usd-m'. Did you mean "
        "Binance-USDM? Possible: Binance, Binance-USDM, Binance-COINM, Kraken, OKX, Bybit, "
        "Bybit-linear, Bybit-inverse."
    )


def test_an_unknown_key_is_refused_with_the_closest_one() -> None:
    error = refusal(SOURCE + "    rollup: [5m]\n")

    assert (error.key, error.line) == ("sources[0].rollup", 6)
    assert str(error) == (
        "streamforge.yaml, line 6: sources[0].rollup is unknown. Did you mean rollups? "
        "Possible: source, symbols, timeframe, rollups, start."
    )


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("source: Binance\n", "source"),
        (STREAM + "    agregate_list: [5m]\n", "streams[0].agregate_list"),
        ("emitters:\n  - type: csv\n    filepath: x.csv\n", "emitters[0].filepath"),
    ],
)
def test_unknown_keys_are_refused_everywhere(text: str, key: str) -> None:
    error = refusal(text)

    assert error.key == key
    assert "Did you mean" in str(error)


@pytest.mark.parametrize("key", ["source", "symbols", "timeframe", "start"])
def test_a_source_needs_its_keys(key: str) -> None:
    keys = ("source: Binance", "symbols: [BTCUSDT]", "timeframe: 1m", "start: 2024-01-01")
    given = ", ".join(each for each in keys if not each.startswith(f"{key}:"))

    error = refusal(f"sources:\n  - {{{given}}}\n")

    assert (error.key, error.line) == (f"sources[0].{key}", 2)
    assert str(error).endswith(f"sources[0].{key} is missing.")


def test_a_lone_symbol_is_not_a_list() -> None:
    error = refusal(SOURCE.replace("[BTCUSDT]", "BTCUSDT, ETHUSDT"))

    assert (error.key, error.line) == ("sources[0].symbols", 3)
    assert str(error).endswith(
        "is 'BTCUSDT, ETHUSDT', where a list belongs. Write [BTCUSDT, ETHUSDT]."
    )


@pytest.mark.parametrize("symbols", ["[]", ""])
def test_a_source_without_symbols_is_refused(symbols: str) -> None:
    error = refusal(SOURCE.replace("[BTCUSDT]", symbols))

    assert (error.key, error.line) == ("sources[0].symbols", 3)
    assert str(error).endswith("is an empty list. Name at least one.")


@pytest.mark.parametrize("symbol", ["BTC USDT", "'A|B'", "'A,B'"])
def test_symbols_that_would_break_a_key_are_refused(symbol: str) -> None:
    error = refusal(SOURCE.replace("[BTCUSDT]", f"[ETHUSDT, {symbol}]"))

    assert error.key == "sources[0].symbols[1]"


def test_a_symbol_that_yaml_takes_for_something_else_is_a_text() -> None:
    text = SOURCE.replace("[BTCUSDT]", "[NO, 1000, BTC/USD, 2024-01-01]")

    assert parsed(text).sources[0].symbols == ("NO", "1000", "BTC/USD", "2024-01-01")


def test_a_repeated_symbol_is_refused() -> None:
    error = refusal(SOURCE.replace("[BTCUSDT]", "[BTCUSDT, ETHUSDT, BTCUSDT]"))

    assert error.key == "sources[0].symbols[2]"
    assert str(error).endswith("is 'BTCUSDT', which stands in this list already.")


@pytest.mark.parametrize("timeframe", ["1x", "60", "1H"])
def test_an_unknown_timeframe_is_refused(timeframe: str) -> None:
    error = refusal(SOURCE.replace("1m", timeframe))

    assert (error.key, error.line) == ("sources[0].timeframe", 4)
    assert f"is '{timeframe}', which is no timeframe. Possible: 1s, 1m, 3m, 5m," in str(error)


def test_a_minute_and_a_month_are_not_mixed_up() -> None:
    settings = parsed(SOURCE + "    rollups: [5m, 1M]\n")

    assert (settings.sources[0].timeframe, settings.sources[0].rollups) == ("1m", ("5m", "1M"))


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        (SOURCE + "    rollups: [5m, 1m]\n", "sources[0].rollups[1]", 6),
        (
            STREAM + "    aggregate_list:\n      - 5m\n      - 1s\n",
            "streams[0].aggregate_list[1]",
            8,
        ),
    ],
)
def test_a_target_that_its_base_does_not_fill_is_refused(text: str, key: str, line: int) -> None:
    error = refusal(text)

    assert (error.key, error.line) == (key, line)
    assert "candles cannot be aggregated from 1m" in str(error)


def test_a_repeated_target_is_refused() -> None:
    assert refusal(SOURCE + "    rollups: [5m, 5m]\n").key == "sources[0].rollups[1]"


@pytest.mark.parametrize("day", ["2024-02-30", "01.01.2024", "yesterday", "20240101", "2024-1-1"])
def test_a_start_that_is_no_day_is_refused(day: str) -> None:
    error = refusal(SOURCE.replace("2024-01-01", day))

    assert (error.key, error.line) == ("sources[0].start", 5)
    assert str(error).endswith(f"is '{day}', which is no day. Write it as 2024-01-15 (UTC).")


@pytest.mark.parametrize("flag", ["yes", "on", "1", "True"])
def test_a_flag_is_true_or_false(flag: str) -> None:
    error = refusal(STREAM + f"    active_warmup: {flag}\n")

    assert (error.key, error.line) == ("streams[0].active_warmup", 6)
    assert str(error).endswith(f"is '{flag}'. Write true or false.")


def test_one_source_and_timeframe_is_declared_in_one_place() -> None:
    hourly = SOURCE.replace("1m", "1h").removeprefix("sources:\n")

    error = refusal(SOURCE + "    rollups: [5m, 1h]\n" + hourly)

    assert (error.key, error.line) == ("sources[1]", 7)
    assert str(error).endswith(
        "sources[1] declares Binance 1h, as sources[0] at line 2 does. "
        "Put all its symbols into one entry."
    )


def test_one_line_of_entries_is_checked_like_many() -> None:
    entry = "{source: Binance, symbols: [A], timeframe: 1m, start: 2024-01-01}"

    assert refusal(f"sources: [{entry}, {entry}]").key == "sources[1]"


def test_two_markets_of_one_venue_are_two_sources() -> None:
    usdm = SOURCE.replace("Binance", "Binance-USDM").removeprefix("sources:\n")

    assert [s.source for s in parsed(SOURCE + usdm).sources] == ["Binance", "Binance-USDM"]


# --- Streams and emitters ---


def test_two_streams_of_one_name_are_refused() -> None:
    error = refusal(STREAM + STREAM.removeprefix("streams:\n"))

    assert (error.key, error.line) == ("streams[1].name", 6)
    assert str(error).endswith("is 'spot', which is taken. Taken are: spot.")


@pytest.mark.parametrize("name", ["two words", "-x", "a|b", "../x"])
def test_a_name_fits_into_paths_and_keys(name: str) -> None:
    assert refusal(STREAM.replace("name: spot", f"name: {name}")).key == "streams[0].name"


def test_a_stream_emits_to_declared_emitters_only() -> None:
    text = "emitters:\n  - {type: csv, name: btc_csv, file_path: x}\n" + STREAM

    error = refusal(text + "    emitters: [store, btc-csv]\n")

    assert (error.key, error.line) == ("streams[0].emitters[1]", 8)
    assert str(error).endswith("is 'btc-csv'. Did you mean btc_csv? Possible: store, btc_csv.")


def test_a_stream_to_nowhere_is_refused() -> None:
    assert refusal(STREAM + "    emitters: []\n").key == "streams[0].emitters"


def test_every_emitter_type_takes_its_options() -> None:
    text = """\
emitters:
  - type: logger
    prefix: live
  - type: csv
    file_path: btc.csv
    source: Binance
    symbol: BTCUSDT
    timeframe: 1m
  - type: parquet
    name: second
    path: elsewhere
"""

    assert parsed(text).emitters == (
        EmitterSettings("logger", "logger", {"prefix": "live"}),
        EmitterSettings(
            "csv",
            "csv",
            {
                "file_path": Path("btc.csv"),
                "source": "Binance",
                "symbol": "BTCUSDT",
                "timeframe": "1m",
            },
        ),
        EmitterSettings("parquet", "second", {"path": Path("elsewhere")}),
    )


def test_an_unknown_emitter_type_is_refused_with_the_known_ones() -> None:
    error = refusal("emitters:\n  - type: redis\n    url: redis://user:hunter2@host\n")

    assert (error.key, error.line) == ("emitters[0].type", 2)
    assert "is 'redis'. Possible: csv, logger, parquet." in str(error)
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(("kind", "key"), [("csv", "file_path"), ("parquet", "path")])
def test_an_emitter_needs_to_know_where(kind: str, key: str) -> None:
    error = refusal(f"emitters:\n  - type: {kind}\n")

    assert (error.key, error.line) == (f"emitters[0].{key}", 2)
    assert str(error).endswith("is missing.")


@pytest.mark.parametrize("name", ["store", "csv"])
def test_two_emitters_of_one_name_are_refused(name: str) -> None:
    text = "emitters:\n  - {type: csv, file_path: a}\n  - {type: csv, file_path: b, name: %s}\n"

    assert refusal(text % name).key == "emitters[1].name"


def test_two_emitters_of_one_type_need_names() -> None:
    error = refusal("emitters:\n  - {type: csv, file_path: a}\n  - {type: csv, file_path: b}\n")

    assert (error.key, error.line) == ("emitters[1].type", 3)
    assert str(error).endswith("which is taken. Taken are: store, csv. Give it a name.")


def test_an_options_value_is_checked_too() -> None:
    text = "emitters:\n  - {type: csv, file_path: a, source: Binanse}\n"

    assert refusal(text).key == "emitters[0].source"


# --- Secrets, paths, the environment ---


def test_secrets_are_not_shown() -> None:
    emitter = EmitterSettings("postgres", "db", {"host": "h", "password": "hunter2", "url": "u2"})

    for text in (repr(emitter), str(emitter), repr(Settings(emitters=(emitter,)))):
        assert "hunter2" not in text
        assert "u2" not in text
        assert "'host': 'h', 'password': '***', 'url': '***'" in text


def test_every_path_can_be_resolved_at_once() -> None:
    settings = parsed(DOCUMENTED).with_paths(lambda path: Path("/root-of-all") / path)

    assert settings.store == Path("/root-of-all/data")
    assert settings.emitters[0].options == {"file_path": Path("/root-of-all/data/btc.csv")}
    assert settings.sources == parsed(DOCUMENTED).sources


def test_the_environment_replaces_the_store() -> None:
    assert parsed("store: data\n", STREAMFORGE_STORE="/mnt/candles").store == Path("/mnt/candles")
    assert parsed(SOURCE, STREAMFORGE_STORE="other").store == Path("other")


def test_an_empty_variable_replaces_nothing() -> None:
    assert parsed("store: here\n", STREAMFORGE_STORE="").store == Path("here")


def test_complaints_call_the_text_by_its_name() -> None:
    with pytest.raises(InvalidSettings, match=r"^other\.yaml, line 1: "):
        parse_settings("stor: x", {}, name="other.yaml")
