"""Simulation and judge on the same week: every figure alike, and every figure zero whose target is zero."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from portal.simulation.figures import ZERO
from tests.judge import judge
from tests.judge.test_judge import FIGURES, TARGETS

ROOT = Path(__file__).parents[2]
WEEK = ["--days", "7", "--cases", "120", "--seed", "2"]
"""An autumn week: the clocks change on its Sunday, and the Monday after is a holiday in Vienna."""


Life = Callable[..., dict[str, float]]
"""Simulates with these options and writes the evidence to a folder; tells the simulation's own figures."""


@pytest.fixture(params=["sqlite", "postgresql"])
def life(request: pytest.FixtureRequest) -> Life:
    """`durchwahl simulate`, as a process of its own, on one of the databases."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PORTAL_")}
    if request.param == "postgresql":
        environment["PORTAL_DATABASE_URL"] = request.getfixturevalue("postgresql") % "postgres"

    def simulate(*options: str, out: Path) -> dict[str, float]:
        command = [sys.executable, "-m", "portal", "simulate", *options, "--json", "--out", str(out)]
        run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert run.stdout, run.stderr
        told: dict[str, float] = json.loads(run.stdout)
        return told

    return simulate


def agree_on_nobody_in_the_dark(told: dict[str, float], judged: dict[str, float]) -> None:
    """Every figure alike, and zero where zero is the target."""
    # Pages name whole seconds, so minutes may differ in their last digit, and a million of them in the next one too;
    # all else is counted and must be the same.
    assert judged == pytest.approx({name: told[name] for name in FIGURES}, abs=0.11, rel=1e-6)
    assert {name: value for name, value in judged.items() if name in TARGETS and value} == {}
    assert {name: told[name] for name in ZERO if told[name]} == {}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.nightly_on("postgresql")
def test_simulation_and_judge_agree_and_nobody_was_left_in_the_dark(life: Life, tmp_path: Path) -> None:
    told = life(*WEEK, out=tmp_path / "out")

    judged = judge(tmp_path / "out")

    agree_on_nobody_in_the_dark(told, judged)
    # A week in which nothing happened would agree on anything.
    assert judged["cases"] == 120 and judged["promises_kept"] > 100 and judged["notices"] > 0
    assert told["workers_killed"] > 0 and judged["letters_ambiguous"] > 0
