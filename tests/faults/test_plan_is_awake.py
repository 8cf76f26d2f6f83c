"""The same plan with a bug planted in the running processes: the oracles must turn red. See also tests/killing."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.faults.plan import PROFILES, Profile
from tests.faults.run import run

TINY = PROFILES["tiny"]
HASTY = replace(TINY, patience=10)
"""What never comes is waited for only so long."""


@dataclass(frozen=True)
class Planted:
    """A bug, where it bites, and what the oracles say to it."""

    bug: str
    said: str
    database: str = "sqlite"
    profile: Profile = HASTY


AT_ONCE = (Planted("mark_before_send", "sent, and the relay never had it (O3)"),)
EACH_NIGHT = (
    Planted("quit_is_failure", "doubles more than ambiguous endings"),
    Planted("swallow_commit", "(O1)", "postgresql", replace(HASTY, databases=6, spread=6)),
    Planted("short_lease", "doubles more than ambiguous endings", profile=replace(HASTY, submissions=100)),
    Planted(
        "deferred", "answers 503 while the database was there (O12)", profile=replace(HASTY, submissions=150, spread=0)
    ),
    Planted("send_before_commit", "that no row knows (O4)", profile=replace(HASTY, kills=40, spread=20)),
    Planted(
        "lose_files", "the files of received are not those that were sent (O1)", profile=replace(HASTY, files_share=1)
    ),
    Planted("no_notices", "not every notice was given (O7)"),
)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "planted",
    [
        *(pytest.param(planted, id=planted.bug) for planted in AT_ONCE),
        *(pytest.param(planted, id=planted.bug, marks=pytest.mark.nightly) for planted in EACH_NIGHT),
    ],
)
def test_a_planted_bug_is_found(planted: Planted, tmp_path: Path) -> None:
    verdict = run(planted.profile, database=planted.database, seed=1, folder=tmp_path, bug=planted.bug)

    assert any(planted.said in fault for fault in verdict.wrong), verdict


@pytest.mark.timeout(300)
def test_without_a_bug_the_same_plan_finds_nothing(tmp_path: Path) -> None:
    verdict = run(TINY, database="sqlite", seed=1, folder=tmp_path)

    assert verdict.wrong == []
    assert verdict.figures["doubles_minus_ambiguous"] <= 0
