"""Two months of a company's life: five seeds on both databases, and in each the judge says what the simulation says.

Hours in all, so they are left to `make nightly`, which is read for the line that each of them prints: its figures,
run time and peak memory among them.
"""

import json
from pathlib import Path

import pytest

from portal.simulation.figures import MOST_NOTICES
from tests.judge import judge
from tests.judge.test_agreement import Life, agree_on_nobody_in_the_dark, life

__all__ = ["life"]

DAYS, PEOPLE, CASES = 60, 20, 5_000


@pytest.mark.nightly
@pytest.mark.timeout(3 * 60 * 60)
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_two_months_are_judged_alike_and_nobody_was_left_in_the_dark(
    life: Life, seed: int, tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ("--days", str(DAYS), "--people", str(PEOPLE), "--cases", str(CASES), "--seed", str(seed))
    told = life(*size, out=tmp_path / "out")

    judged = judge(tmp_path / "out")

    with capsys.disabled():
        print(f"\n{request.node.name} {json.dumps(told)}")
    agree_on_nobody_in_the_dark(told, judged)
    assert told["notices_per_case_p95"] <= MOST_NOTICES
    assert judged["cases"] == CASES and told["workers_killed"] > 0
