"""A disk that refuses at the last moment: the bytes are written, making them durable fails."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def disk_refuses(number: int) -> Iterator[None]:
    """Have every fsync and fdatasync raise `OSError(number)`."""

    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        yield
