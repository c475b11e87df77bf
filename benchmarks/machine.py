"""What the figures were taken on: without it they mean nothing."""

import os
import platform
from pathlib import Path

import pyarrow as pa


def machine_facts() -> dict[str, str]:
    """Return facts by name, in the order to be shown."""
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{_memory_gib():.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "arrow threads": str(pa.cpu_count()),
        "load at start": load,
    }


def _processor() -> str:
    # platform.processor() is empty on most Linux systems.
    for line in _lines(Path("/proc/cpuinfo")):
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3


def peak_memory_bytes() -> int:
    """Return this process' largest resident memory so far.

    Not `ru_maxrss` where there is /proc: a child inherits that from the process that started it.
    """
    for line in _lines(Path("/proc/self/status")):
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) * 1024
    return _ru_maxrss_bytes()


def _ru_maxrss_bytes() -> int:
    import resource  # noqa: PLC0415 - Windows has none

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
