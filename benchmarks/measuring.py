"""One measurement: an action repeated, its CPU time and wall time. Standard library only.

A peer that needs an environment of its own runs this module there, see `Worker`.
"""

import gc
import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, process_time
from typing import IO, Final, Self

ROOT: Final = Path(__file__).resolve().parents[1]
"""The repository."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What some repeats of an action took.

    Attributes:
        cpu_s: User and system time of the whole process, all its threads.
        wall_s: Real time.
        peak_bytes: Largest resident memory of the process, None where it was not measured.
    """

    cpu_s: float
    wall_s: float
    peak_bytes: int | None = None

    def each(self, count: int) -> Self:
        """Return the share of one of `count` units; a peak is not shared."""
        return type(self)(self.cpu_s / count, self.wall_s / count, self.peak_bytes)


Measure = Callable[[int], Sample]
"""Does the work as often as told and says what that took."""


def timed(action: Callable[[], object]) -> Measure:
    """Return the measure of an action in this process.

    The garbage collector stays on, as in use, but begins with nothing to do.
    """

    def measure(repeats: int) -> Sample:
        gc.collect()
        cpu_s, wall_s = process_time(), perf_counter()
        for _ in range(repeats):
            action()
        return Sample(process_time() - cpu_s, perf_counter() - wall_s)

    return measure


@dataclass(frozen=True, slots=True)
class Spread:
    """Some values of the same thing."""

    median: float
    least: float
    lower_quartile: float
    upper_quartile: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Summarize at least one value."""
        ordered = sorted(values)
        ends = (ordered[0], ordered[-1])
        low, _, high = quantiles(ordered, method="inclusive") if len(ordered) > 1 else ordered * 3
        return cls(median(ordered), ends[0], low, high, ends[1])


class Worker:
    """The measure of an action in a process of its own, run by another Python.

    Args:
        python: The interpreter of the environment that has the peer.
        target: "package.module:function" of this repository; called there once, it returns the
            action. Its module imports nothing that the other environment lacks.
    """

    def __init__(self, python: Path, target: str) -> None:
        self._command = [str(python), "-m", "benchmarks.measuring", target]
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, repeats: int) -> Sample:
        """Measure in the other process; the first call starts it."""
        process = self._process = self._process or self._started()
        answer = _answer(process, f"{repeats}\n")
        if not answer:
            self.close()
            raise RuntimeError(f"A worker ended with code {process.returncode}: {self._command}")
        return Sample(**json.loads(answer))

    def _started(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(  # noqa: S603 - our own module, an interpreter we chose
            self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.communicate()


def _answer(process: "subprocess.Popen[str]", line: str) -> str:
    """Return the next line it writes, nothing if it has ended."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("A worker has no pipes.")
    with suppress(BrokenPipeError):
        process.stdin.write(line)
        process.stdin.flush()
    return process.stdout.readline()


def idle() -> Callable[[], None]:
    """Return an action that does nothing: what measuring itself costs."""
    return lambda: None


def work(target: str, asked: Iterable[str], answers: IO[str]) -> None:
    """Be the worker: measure as often as each line says, answer with a line of JSON."""
    module, _, function = target.partition(":")
    measure = timed(getattr(importlib.import_module(module), function)())
    for line in asked:
        print(json.dumps(asdict(measure(int(line)))), file=answers, flush=True)


if __name__ == "__main__":
    work(sys.argv[1], sys.stdin, sys.stdout)
