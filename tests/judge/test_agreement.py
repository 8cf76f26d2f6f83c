"""Simulation and judge on the same week: every figure alike, and every figure zero whose target is zero."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.judge import judge
from tests.judge.test_judge import FIGURES, TARGETS

ROOT = Path(__file__).parents[2]
WEEK = ["--days", "7", "--cases", "120", "--seed", "2"]
"""An autumn week: the clocks change on its Sunday, and the Monday after is a holiday in Vienna."""


@pytest.fixture(params=["sqlite", "postgresql"])
def week(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[dict[str, float], Path]:
    """The simulation's figures of a week with faults, and its evidence."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PORTAL_")}
    if request.param == "postgresql":
        environment["PORTAL_DATABASE_URL"] = request.getfixturevalue("postgresql") % "postgres"
    command = [sys.executable, "-m", "portal", "simulate", *WEEK, "--json", "--out", str(tmp_path / "out")]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.stdout, run.stderr
    return json.loads(run.stdout), tmp_path / "out"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.nightly_on("postgresql")
def test_simulation_and_judge_agree_and_nobody_was_left_in_the_dark(week: tuple[dict[str, float], Path]) -> None:
    told, folder = week

    judged = judge(folder)

    # Pages name whole seconds, so minutes may differ in their last digit; all else is counted and must be the same.
    assert judged == pytest.approx({name: told[name] for name in FIGURES}, abs=0.11)
    assert {name: value for name, value in judged.items() if name in TARGETS and value} == {}
    # A week in which nothing happened would agree on anything.
    assert judged["cases"] == 120 and judged["promises_kept"] > 100 and judged["notices"] > 0
    assert told["workers_killed"] > 0 and judged["letters_ambiguous"] > 0
