"""The benchmarks run and their arithmetic is right; how fast anything is, no test says."""

import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks import inputs
from benchmarks.__main__ import main
from benchmarks.contest import Case, Contender, Goal, Result, Results, play, ratios, without
from benchmarks.libraries import Environment, Library
from benchmarks.measuring import Sample, Spread, Worker
from benchmarks.report import Played, duration, markdown

Quick = tuple[str, list[dict[str, Any]]]

HERE = Library("pytest", "pytest")


def a_contender(name: str, log: list[str] | None = None, outcome: object = None) -> Contender:
    def measure(repeats: int) -> Sample:
        if log is not None:
            log.append(name)
        return Sample(cpu_s=0.5 * repeats, wall_s=2.0 * repeats)

    return Contender(name, HERE, measure, 10, "nothing", lambda: outcome)


def results_of(**cpu_s: list[float]) -> Results:
    return {
        name: Result(a_contender(name), samples=[Sample(each, each) for each in values])
        for name, values in cpu_s.items()
    }


def a_case(*contenders: Contender, goals: tuple[Goal, ...] = ()) -> Case:
    return Case("a_case", "A case", "row", "10 rows", contenders, goals)


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory: pytest.TempPathFactory) -> Quick:
    """Return what a quick run of two cases prints, and the cases it writes."""
    path = tmp_path_factory.mktemp("benchmarks") / "samples.json"
    names = "month_to_parquet,decode_kline"
    ran = CliRunner().invoke(main, ["--quick", "--only", names, "--json", str(path)])
    assert ran.exit_code == 0, ran.output
    return ran.output, json.loads(path.read_text())["cases"]


def test_a_quick_run_prints_ours_beside_the_peers_with_their_versions(quick_run: Quick) -> None:
    text, _ = quick_run

    ours = next(line for line in text.splitlines() if "StreamForge, zstd" in line)
    theirs = next(line for line in text.splitlines() if "pandas, zstd" in line)

    assert "StreamForge 0." in ours
    assert f"pandas {metadata.version('pandas')}" in theirs


def test_a_quick_run_writes_every_sample_of_every_contender(quick_run: Quick) -> None:
    _, (month, decode) = quick_run

    assert (month["unit"], decode["unit"]) == ("row", "frame")
    assert [len(each["cpu_s_per_unit"]) for each in decode["contenders"]] == [3] * 5


def test_everybody_who_writes_a_month_writes_the_same_prices(quick_run: Quick) -> None:
    _, (month, _) = quick_run

    same = {each["name"]: each["same_outcome"] for each in month["contenders"]}

    assert same.pop("pandas, 8 columns, zstd") is None
    assert set(same.values()) == {True}


def test_the_document_gets_a_row_for_every_contender_and_every_goal() -> None:
    goals = (Goal.faster("ours", "peer", 2),)
    case = a_case(a_contender("ours"), a_contender("peer"), goals=goals)
    results = results_of(ours=[1.0, 1.0], peer=[3.0, 4.0])

    text = markdown("2026-11-21", {"cores": "2"}, [Played(case, results, absent=("other",))])

    assert f"| ours | pytest {pytest.__version__} | 1.00 s/row (1.00 s .. 1.00 s) |" in text
    assert "| 3.50 s/row (3.00 s .. 4.00 s) | 3.50 s | 3.50 (3.00 .. 4.00) |" in text
    assert "| other | not installed |" in text
    assert "- goal met: ours >= 2x peer; it is 3.50 (3.00 .. 4.00)" in text


def test_an_unknown_case_is_refused_with_the_names_there_are() -> None:
    ran = CliRunner().invoke(main, ["--only", "fastest"])

    assert ran.exit_code == 2
    assert "No case fastest. There are: month_to_parquet, rollup," in ran.output


def test_rounds_are_interleaved_and_begin_with_another_contender_each_time() -> None:
    log: list[str] = []
    case = Case("a_case", "", "row", "", [a_contender(each, log) for each in "abc"], warm_up=False)

    play(case, rounds=3, round_s=1.0, tell=lambda _: None)

    assert "".join(log) == "abcbcacab"


def test_fast_work_is_repeated_until_a_round_lasts_long_enough() -> None:
    case = a_case(a_contender("ours"))

    results = play(case, rounds=1, round_s=7.0, tell=lambda _: None)

    # One go lasts 2 s: four of them last 7 s; 0.5 s of CPU time a go over 10 rows is 0.05 s a row.
    assert results["ours"].repeats == 4
    assert results["ours"].cpu_s == [0.05]


def test_a_contender_that_arrives_at_something_else_is_marked() -> None:
    case = a_case(a_contender("ours", outcome=[1, 2]), a_contender("peer", outcome=[1, 3]))

    results = play(case, rounds=1, round_s=0.0, tell=lambda _: None)

    assert (results["ours"].same, results["peer"].same) == (True, False)


def test_ratios_are_taken_within_a_round_never_between_medians() -> None:
    results = results_of(ours=[1.0, 2.0, 4.0], peer=[3.0, 4.0, 4.0])

    assert ratios(results, "peer", "ours") == [3.0, 2.0, 1.0]


def test_a_goal_is_judged_by_the_median_of_its_ratios() -> None:
    results = results_of(ours=[1.0, 2.0, 4.0], peer=[3.0, 4.0, 4.0])
    goal = Goal.faster("ours", "peer", 2.0)

    median = Spread.of(goal.values(results)).median

    assert median == 2.0
    assert goal.met(median)
    assert not Goal.faster("ours", "peer", 2.1).met(median)


def test_a_bound_is_missed_from_above() -> None:
    goal = Goal.within("ours", "bound", 1.4)

    assert goal.met(1.4)
    assert not goal.met(1.5)


def test_a_peer_that_is_not_installed_leaves_with_the_goals_that_name_it() -> None:
    goals = (Goal.faster("ours", "peer", 2), Goal.faster("ours", "other", 3))
    case = a_case(a_contender("ours"), a_contender("peer"), a_contender("other"), goals=goals)

    left = without(case, ["peer"])

    assert [each.name for each in left.contenders] == ["ours", "other"]
    assert [goal.text for goal in left.goals] == ["ours >= 3x other"]


def test_a_library_in_an_environment_that_was_not_made_has_no_version() -> None:
    library = Library("nobody", "nobody", Environment("no-such-environment", ("nobody==1",)))

    assert library.version is None


def test_a_worker_measures_in_a_process_of_its_own() -> None:
    worker = Worker(Path(sys.executable), "benchmarks.measuring:idle")
    try:
        sample = worker(1_000)
    finally:
        worker.close()

    assert sample.cpu_s >= 0
    assert sample.wall_s > 0
    assert sample.peak_bytes is None


def test_a_worker_that_cannot_start_its_work_says_so() -> None:
    worker = Worker(Path(sys.executable), "benchmarks.no_such_module:action")

    with pytest.raises(RuntimeError, match="A worker ended with code 1"):
        worker(1)


def test_a_spread_shows_its_ends_and_quartiles() -> None:
    assert Spread.of([5, 1, 3, 2, 4]) == Spread(3, 1, 2, 4, 5)
    assert Spread.of([7]) == Spread(7, 7, 7, 7, 7)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.5e-8, "25.0 ns"), (1.234e-6, "1.23 us"), (0.05, "50.0 ms"), (90.4, "90.4 s")],
)
def test_durations_are_written_with_three_digits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_without_the_captured_days_the_simulator_gives_the_input(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(inputs, "_REAL_DAYS", tmp_path)
    inputs.days.cache_clear()
    try:
        origin, days = inputs.days()
        lines = inputs.archive_csv(inputs.FIRST_MS, 2).decode().splitlines()
    finally:
        inputs.days.cache_clear()

    assert origin == "6 simulated days of BTCUSDT, repeated"
    assert {len(day) for day in days} == {1_440}
    assert lines[1_440].split(",")[0] == "1672617600000"  # 2023-01-02 00:00
    assert {line.count(",") for line in lines} == {11}
