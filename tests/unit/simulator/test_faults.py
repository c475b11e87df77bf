import pytest

from streamforge_core.simulator.faults import Fault, Faults, Request, RequestLog

KLINES = "/api/v3/klines?symbol=BTCUSDT"


def test_a_fault_happens_so_many_times_and_is_spent() -> None:
    faults = Faults([Fault("klines", status=503, times=2)])

    assert [faults.take(KLINES) is not None for _ in range(4)] == [True, True, False, False]
    assert len(faults) == 0


def test_a_fault_can_let_requests_pass_before() -> None:
    faults = Faults([Fault("klines", status=503, skip=2)])

    assert [faults.take(KLINES) is not None for _ in range(4)] == [False, False, True, False]


def test_only_matching_paths_fail() -> None:
    faults = Faults([Fault(r"symbol=ETHUSDT", status=500), Fault(r"\.CHECKSUM$", status=404)])

    assert faults.take(KLINES) is None
    taken = faults.take("/data/spot/x.zip.CHECKSUM")
    assert taken is not None
    assert taken.status == 404


def test_the_first_of_several_faults_comes_first() -> None:
    faults = Faults()
    faults.append(Fault("klines", status=500))
    faults.append(Fault("klines", status=502))

    statuses = [fault.status for fault in (faults.take(KLINES), faults.take(KLINES)) if fault]
    assert statuses == [500, 502]


def test_faults_can_be_forgotten() -> None:
    faults = Faults([Fault("klines"), Fault("time")])
    assert [fault.path_pattern for fault in faults] == ["klines", "time"]

    faults.clear()

    assert faults.take(KLINES) is None


def test_a_pattern_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="no regular expression"):
        Fault("(")


def test_requests_are_kept_in_order_and_found_by_path() -> None:
    log = RequestLog()
    log.append(Request("GET", "/api/v3/time", {}))
    log.append(Request("GET", "/api/v3/klines", {"symbol": "BTCUSDT"}))

    assert [request.path for request in log] == ["/api/v3/time", "/api/v3/klines"]
    assert log.to("klines$") == [Request("GET", "/api/v3/klines", {"symbol": "BTCUSDT"})]
    log.clear()
    assert len(log) == 0
