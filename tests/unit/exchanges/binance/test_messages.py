import msgspec
import pytest

from streamforge_core.exchanges.binance.messages import COMBINED_KLINE, ENVELOPE, KLINE
from tests.support.binance_frames import kline_frame
from tests.support.recordings import recorded, recordings


def test_a_kline_is_read_field_by_field() -> None:
    event = KLINE.decode(recorded("binance", "kline_closed"))

    k = event.k
    assert (event.e, event.E, event.s) == ("kline", 1735689660012, "BTCUSDT")
    assert (k.t, k.T, k.s, k.i) == (1735689600000, 1735689659999, "BTCUSDT", "1m")
    assert (k.f, k.L, k.n, k.x) == (4359120100, 4359120738, 639, True)
    assert (k.o, k.h, k.l, k.c) == (93576.0, 93610.93, 93537.5, 93610.93)
    assert (k.v, k.q, k.V, k.Q) == (8.21827, 768978.6441022, 4.95213, 463414.220971)


def test_a_wrapped_kline_names_its_stream() -> None:
    wrapped = COMBINED_KLINE.decode(recorded("binance", "kline_combined"))

    assert wrapped.stream == "btcusdt@kline_1m"
    assert wrapped.data.k.c == 93610.93


@pytest.mark.parametrize(
    "text", ["0.10000000", "93610.93000000", "0.00000001", "28080.00000000", "1153287.13186000"]
)
def test_a_decimal_in_quotes_is_read_as_the_nearest_float(text: str) -> None:
    frame = kline_frame(o=text)

    assert COMBINED_KLINE.decode(frame).data.k.o == float(text)


@pytest.mark.parametrize("text", ["", " 1", "1_000", "1,5", "0x10", "none"])
def test_text_that_is_no_number_is_no_price(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        COMBINED_KLINE.decode(kline_frame(o=text))


@pytest.mark.parametrize(
    "name",
    [
        *recordings("binance", "ws_*ack.json"),
        *recordings("binance", "ws_error_*.json"),
        *recordings("binance", "*combined.json"),
    ],
)
def test_every_other_frame_can_be_told_by_its_envelope(name: str) -> None:
    envelope = ENVELOPE.decode(recorded("binance", name))

    told = (envelope.stream or None, envelope.id, envelope.code)
    assert any(value is not None for value in told)
