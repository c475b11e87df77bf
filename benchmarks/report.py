"""Results as one table for people and as JSON for machines."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.contest import MIB, Case, Goal, Result, Results, ratios
from benchmarks.measuring import Spread

_UNITS: Final = ((1e-6, 1e9, "ns"), (1e-3, 1e6, "us"), (1.0, 1e3, "ms"), (float("inf"), 1, "s"))


@dataclass(frozen=True, slots=True)
class Played:
    """A case and what came of it; `absent` are contenders whose library is not installed."""

    case: Case
    results: Results
    absent: tuple[str, ...] = ()


def print_report(console: Console, machine: Mapping[str, str], played: Sequence[Played]) -> None:
    """Print one table: every case, ours and the peers side by side, then how the goals stand."""
    console.print(Text("; ".join(f"{name}: {value}" for name, value in machine.items())))
    console.print(_table(played))
    for each in played:
        console.print(_notes(each))


def _table(played: Iterable[Played]) -> Table:
    table = Table(title="Median per unit, (least .. most) of all rounds", title_justify="left")
    for header in ("contender", "version", "CPU", "(spread)", "wall", "x first", "(spread)"):
        table.add_column(header, justify="left" if header in {"contender", "version"} else "right")
    table.add_column("peak", justify="right")
    table.add_column("outcome")
    for each in played:
        table.add_section()
        table.add_row(Text(f"{each.case.name}: {each.case.title}", style="bold"))
        for result in each.results.values():
            table.add_row(*_row(each, result))
        for name in each.absent:
            table.add_row(f"  {name}", "not installed")
    return table


def _row(each: Played, result: Result) -> list[str]:
    first = next(iter(each.results))
    name, library = result.contender.name, result.contender.library
    cpu = Spread.of(result.cpu_s)
    ratio = Spread.of(ratios(each.results, name, first))
    return [
        f"  {name}",
        f"{library.name} {library.version}",
        f"{duration(cpu.median)}/{each.case.unit}",
        f"({duration(cpu.least)} .. {duration(cpu.most)})",
        duration(median(result.wall_s)),
        f"{ratio.median:.2f}",
        f"({ratio.least:.2f} .. {ratio.most:.2f})",
        f"{max(result.peaks) / MIB:.0f} MiB" if result.peaks else "",
        {None: "", True: "same", False: "DIFFERS"}[result.same],
    ]


def _notes(each: Played) -> RenderableType:
    lines = [Text(f"{each.case.name}: {each.case.facts}", style="bold")]
    lines += [Text(f"  {_judged(goal, each.results)}") for goal in each.case.goals]
    for name, result in each.results.items():
        lines.append(Text(f"  {name}: {result.contender.builds}", style="dim"))
    return Group(Text(""), *lines)


def _judged(goal: Goal, results: Results) -> str:
    values = Spread.of(goal.values(results))
    word = "met" if goal.met(values.median) else "MISSED"
    figures = f"{values.median:.2f} ({values.least:.2f} .. {values.most:.2f})"
    return f"goal {word}: {goal.text}; it is {figures}"


def duration(seconds: float) -> str:
    """Write a duration with three digits in the unit that suits it."""
    factor, unit = next((factor, unit) for limit, factor, unit in _UNITS if seconds < limit)
    value = seconds * factor
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"


def markdown(started: str, machine: Mapping[str, str], played: Iterable[Played]) -> str:
    """Return what `docs/benchmarks.md` shows: every row, and how the goals stand."""
    lines = [
        f"Taken {started}. {'; '.join(f'{name}: {value}' for name, value in machine.items())}."
    ]
    for each in played:
        lines += ["", f"**`{each.case.name}`** {each.case.title}. {each.case.facts}", ""]
        lines += [
            "| | version | CPU | wall | x first | peak | outcome |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [_markdown_row(_row(each, result)) for result in each.results.values()]
        lines += [f"| {name} | not installed | | | | | |" for name in each.absent]
        lines += [""] if each.case.goals else []
        lines += [f"- {_judged(goal, each.results)}" for goal in each.case.goals]
    return "\n".join(lines) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    name, version, cpu, cpu_spread, wall, ratio, ratio_spread, peak, outcome = cells
    shown = [name.strip(), version, f"{cpu} {cpu_spread}", wall, f"{ratio} {ratio_spread}"]
    return f"| {' | '.join([*shown, peak, outcome])} |"


def write_json(
    path: Path, *, started: str, machine: Mapping[str, str], played: Iterable[Played]
) -> None:
    """Write every sample of every round."""
    body = {
        "started": started,
        "machine": dict(machine),
        "cases": [_case_values(each) for each in played],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(body, indent=1) + "\n")


def _case_values(each: Played) -> dict[str, Any]:
    return {
        "name": each.case.name,
        "title": each.case.title,
        "unit": each.case.unit,
        "facts": each.case.facts,
        "absent": each.absent,
        "contenders": [_contender_values(result) for result in each.results.values()],
        "goals": [_goal_values(goal, each.results) for goal in each.case.goals],
    }


def _contender_values(result: Result) -> dict[str, Any]:
    contender = result.contender
    return {
        "name": contender.name,
        "library": contender.library.name,
        "version": contender.library.version,
        "builds": contender.builds,
        "units": contender.units,
        "repeats": result.repeats,
        "same_outcome": result.same,
        "cpu_s_per_unit": result.cpu_s,
        "wall_s_per_unit": result.wall_s,
        "peak_bytes": result.peaks,
    }


def _goal_values(goal: Goal, results: Results) -> dict[str, Any]:
    spread = Spread.of(goal.values(results))
    return {
        "text": goal.text,
        "limit": goal.limit,
        **asdict(spread),
        "met": goal.met(spread.median),
    }
