"""The command: `python -m benchmarks`, or `make bench ARGS="--quick"`."""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from benchmarks.contest import Case, Setting, play, without
from benchmarks.machine import machine_facts
from benchmarks.measuring import ROOT
from benchmarks.report import Played, markdown, print_report, write_json
from streamforge_core.model.timeframe import iso
from streamforge_core.transport.clock import SystemClock

CASES: Final = {
    "month_to_parquet": "month_to_parquet:build",
    "rollup": "rollup:build",
    "rollup_month": "rollup:build_month",
    "rollup_thin": "rollup:build_thin",
    "ten_years_memory": "ten_years_memory:build",
    "decode_kline": "decode_kline:build",
    "rest_page": "rest_page:build",
    "pipeline_live": "pipeline_live:build",
}
"""Case -> module of `benchmarks.cases` and its function `(Setting) -> Case`."""

RESULTS: Final = ROOT / "benchmarks" / "results"
_ROUNDS, _QUICK_ROUNDS = 11, 3
_ROUND_S, _QUICK_ROUND_S = 0.2, 0.01
_WIDTH_IN_A_FILE: Final = 170


@click.command()
@click.option("--quick", is_flag=True, help="Little input, 3 rounds: does it run, not how fast.")
@click.option("--only", help="Cases to run, with commas: " + ", ".join(CASES) + ".")
@click.option("--rounds", type=click.IntRange(min=1), help=f"Rounds instead of {_ROUNDS}.")
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the samples here instead of into benchmarks/results.",
)
@click.option(
    "--markdown",
    "markdown_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the table here too, as docs/benchmarks.md shows it.",
)
def main(
    *,
    quick: bool,
    only: str | None,
    rounds: int | None,
    json_path: Path | None,
    markdown_path: Path | None,
) -> None:
    """Measure our paths beside those of others and print one table."""
    names = _chosen(only)
    rounds = rounds or (_QUICK_ROUNDS if quick else _ROUNDS)
    machine = machine_facts()
    started = iso(SystemClock().now_ms() // 1_000 * 1_000)
    progress = Console(stderr=True)
    with progress.status("starting") as status:
        played = [_played(name, rounds, status.update, quick=quick) for name in names]
    console = Console()
    print_report(
        console if console.is_terminal else Console(width=_WIDTH_IN_A_FILE), machine, played
    )
    json_path = json_path or RESULTS / f"{started.replace(':', '')}.json"
    write_json(json_path, started=started, machine=machine, played=played)
    if markdown_path:
        markdown_path.write_text(markdown(started, machine, played))
    progress.print(f"Written: {json_path}")


def _chosen(only: str | None) -> list[str]:
    names = [name.strip() for name in only.split(",")] if only else list(CASES)
    unknown = sorted(set(names) - set(CASES))
    if unknown:
        raise click.UsageError(f"No case {', '.join(unknown)}. There are: {', '.join(CASES)}.")
    return names


def _played(name: str, rounds: int, tell: Callable[[str], None], *, quick: bool) -> Played:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="streamforge-bench-")))
        tell(f"{name}: making its input")
        module, _, function = CASES[name].partition(":")
        build = getattr(import_module(f"benchmarks.cases.{module}"), function)
        case: Case = build(Setting(quick, folder, stack))
        absent = tuple(each.name for each in case.contenders if each.library.version is None)
        case = without(case, absent)
        round_s = _QUICK_ROUND_S if quick else _ROUND_S
        return Played(case, play(case, rounds=rounds, round_s=round_s, tell=tell), absent)


if __name__ == "__main__":
    main()
