"""The exception tree: who has to act, and what each error carries."""

import inspect
import pickle
import re
from collections.abc import Iterator

import pytest

from streamforge_core import errors
from streamforge_core.errors import (
    ChecksumMismatch,
    ConfigError,
    ConnectionLost,
    EmitterError,
    ExchangeError,
    IncompleteBackfill,
    InvalidSettings,
    MalformedMessage,
    MissingExtra,
    RateLimited,
    RecordError,
    RequestRefused,
    ServerFailure,
    StaleWriter,
    StorageFull,
    StreamForgeError,
    TransportError,
    UnknownSymbol,
    UnknownTimeframe,
    UnsupportedTimeframe,
)

EXAMPLES = [
    ConfigError("no"),
    InvalidSettings("no", key="sources[0].timeframe", line=7),
    RequestRefused("no", status=400, code=-1121),
    ChecksumMismatch("no", path="/a.zip", published="ab", received="cd"),
    RateLimited("no", retry_after_s=2.5),
    ServerFailure("no", status=503),
    IncompleteBackfill("no", holes=(1, 2)),
    StaleWriter("no"),
]


@pytest.mark.parametrize(
    ("base", "kinds"),
    [
        (ConfigError, [UnknownTimeframe, UnsupportedTimeframe, InvalidSettings, MissingExtra]),
        (ExchangeError, [UnknownSymbol, RequestRefused, MalformedMessage, ChecksumMismatch]),
        (TransportError, [ConnectionLost, RateLimited, ServerFailure]),
        (EmitterError, [RecordError, StorageFull, StaleWriter]),
        (StreamForgeError, [ConfigError, ExchangeError, TransportError, EmitterError]),
        (StreamForgeError, [IncompleteBackfill]),
    ],
)
def test_the_tree_says_who_has_to_act(base: type[Exception], kinds: list[type[Exception]]) -> None:
    assert all(kind.__bases__ == (base,) for kind in kinds)


def test_the_tree_in_the_docstring_is_the_tree_in_the_code() -> None:
    drawn = re.findall(r"^(?:[|` ]+-- )?([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE)

    assert drawn[1:] == list(_descendants(StreamForgeError))


def _descendants(kind: type[Exception]) -> Iterator[str]:
    yield kind.__name__
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _descendants(child)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_every_error_survives_the_way_between_processes(error: StreamForgeError) -> None:
    back = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert type(back) is type(error)
    assert str(back) == "no"
    assert vars(back) == vars(error)


def test_what_an_error_may_not_know_is_none() -> None:
    assert InvalidSettings("no", key="store").line is None
    assert (RequestRefused("no").status, RequestRefused("no").code) == (None, None)
    assert RateLimited("no").retry_after_s is None
    assert IncompleteBackfill("no").holes == ()


def test_attributes_carry_the_values() -> None:
    mismatch = ChecksumMismatch("no", path="/a.zip", published="ab", received="cd")

    assert (mismatch.path, mismatch.published, mismatch.received) == ("/a.zip", "ab", "cd")
    assert ServerFailure("no", status=503).status == 503


def test_every_error_says_what_it_means() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]

    assert [kind for kind in kinds if kind.__module__ == errors.__name__ and not kind.__doc__] == []
